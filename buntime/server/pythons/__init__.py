"""Interpreters of apps, their packages, and the users they run as."""
