"""Plugins: their lives, and the way of requests through their hooks."""
