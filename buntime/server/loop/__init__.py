"""The event loop, and the few threads that do what would block it."""
