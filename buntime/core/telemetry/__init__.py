"""Log records, metrics, and what a service manager is told."""
