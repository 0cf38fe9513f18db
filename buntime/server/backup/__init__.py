"""Backups: one archive of apps, state and data, and what was in it brought back."""
