"""Built-in sample data: authored line drawings and a few freely licensed photographs.

``drawings.load_drawings`` renders the default sketch domain from vector paths and
``photos.load_photos`` cuts square crops from the bundled photographs.
"""
