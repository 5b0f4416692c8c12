"""The REST API and the dashboard. Reads the store through ``search.store.queries``; runs no search itself."""
