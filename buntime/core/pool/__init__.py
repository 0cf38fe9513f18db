"""Decides which worker gets a request, and which workers start and end."""
