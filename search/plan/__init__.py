"""What a search will train and choose: pure functions from a spec to stages, points and choices."""
