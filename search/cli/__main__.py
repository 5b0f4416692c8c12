"""``python -m search.cli`` runs ``seqnorm``."""

from search.cli import main

main()
