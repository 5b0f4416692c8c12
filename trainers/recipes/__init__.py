"""The heavy side of the recipes: what a trial runs."""
