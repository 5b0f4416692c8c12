"""The SQL database: the only truth. Optuna's tables hold the trials; ours hold searches, stages and what pages need."""
