"""Grid and sequential search over group counts: plans, choices, the store, and the engine that runs them on Ray."""
