"""Training recipes: what a trial trains, and with which numbers. Nothing here knows Ray or SQL."""
