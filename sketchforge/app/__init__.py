"""The page to draw on: a local web server, its templates, and one script and stylesheet of our own."""
