"""The SQL database, the only source of truth. Optuna's tables hold trials; ours hold everything else."""
