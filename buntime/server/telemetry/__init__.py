"""Where log lines go, and what the service manager is told."""
