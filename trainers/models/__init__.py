"""Networks that take their normalization layers as a factory, ``norm(num_channels) -> Module``."""
