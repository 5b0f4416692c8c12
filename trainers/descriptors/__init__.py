"""The light side of the recipes: names and numbers, standard library only."""
