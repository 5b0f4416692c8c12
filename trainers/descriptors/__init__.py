"""Descriptors of the recipes: names and numbers, standard library only."""
