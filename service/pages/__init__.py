"""The dashboard: HTML pages rendered on the server from the views that the REST API returns."""
