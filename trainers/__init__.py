"""Training recipes: what a trial trains and with which hyperparameters. Independent of Ray and SQL."""
