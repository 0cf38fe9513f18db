"""The way of a request: its steps in order, and those that belong to no other concern."""
