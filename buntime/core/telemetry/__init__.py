"""Log records, metrics, and messages to a service manager."""
