"""What every request passes through, from the outside in: access log, headers, access and body limit."""
