"""Measures of images and sketches: arrays in, numbers out."""
