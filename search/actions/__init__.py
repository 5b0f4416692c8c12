"""What users do with searches; shared by the command line and the REST API."""
