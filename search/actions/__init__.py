"""What people do to searches; the command line and the REST API call the same functions."""
