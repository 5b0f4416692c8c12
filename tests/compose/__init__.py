"""The files that start the service for a team, parsed, and what is checked of them without an engine for containers."""
