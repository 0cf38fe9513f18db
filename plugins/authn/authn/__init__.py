"""Signing people in: users, sessions, pages, providers."""
