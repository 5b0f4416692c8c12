"""The training code of the recipes, one module each; imported by trials only."""
