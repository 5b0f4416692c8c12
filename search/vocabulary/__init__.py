"""Types that every other package uses: enums, errors, outcomes, secrets and number formats."""
