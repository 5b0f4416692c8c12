"""The loss landscape of a few trainings, outside any search."""
