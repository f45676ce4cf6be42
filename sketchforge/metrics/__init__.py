"""Measures of sketches: each image gives a few numbers first, which are summed up over a set afterwards."""
