"""The operators' API and metrics."""
