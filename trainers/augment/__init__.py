"""Augmentation of batches by tensor operations, on the device of the images."""
