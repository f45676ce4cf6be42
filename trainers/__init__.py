"""Training: loop.py holds the one training loop; each system has a folder with its recipe, step and run."""
