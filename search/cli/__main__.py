"""``python -m search.cli``: the program ``seqnorm``, wherever it is installed."""

from search.cli import main

main()
