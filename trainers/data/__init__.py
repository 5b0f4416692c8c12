"""Image data sets as arrays, split into train, validation and test."""
