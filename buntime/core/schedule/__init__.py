"""Jobs of apps that run by the clock: when they are due, and what happens each time."""
