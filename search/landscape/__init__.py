"""Loss landscapes of a few trainings; independent of searches."""
