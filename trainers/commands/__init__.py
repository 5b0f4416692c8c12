"""Command recipes: somebody's own program, run as it is. Standard library only."""
