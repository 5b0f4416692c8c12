"""Augmentation of whole batches, as tensor operations on the images' own device."""
