"""The networks: they know shapes and nothing of files, losses or optimisers."""
