"""The training procedures: one file is one recipe, read from top to bottom."""
