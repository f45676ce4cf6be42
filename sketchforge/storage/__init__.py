"""Where files lie: folders here and elsewhere, and the one way by which bytes come from there."""
