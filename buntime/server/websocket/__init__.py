"""Open WebSockets, between a connection and a worker."""
