"""The middleware: access log, headers, body limit and access."""
