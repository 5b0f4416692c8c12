"""Plans a search: pure functions from a spec to stages, points and choices."""
