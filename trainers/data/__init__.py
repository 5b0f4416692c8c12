"""Image data sets, in memory or as files, split into train, validation and test."""
