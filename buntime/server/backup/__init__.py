"""Backups: one archive of apps, state and data, and how it is restored."""
