"""The trainings: loop.py is the loop of all; each system has a folder with its recipe, its step and its run."""
