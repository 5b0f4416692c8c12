"""The words that every other package uses: closed sets, errors, outcomes, secrets and how figures read."""
