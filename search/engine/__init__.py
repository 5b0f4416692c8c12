"""What runs a search: the worker, its drivers, and the trials on Ray."""
