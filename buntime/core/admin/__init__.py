"""The operators' API, as one table of routes: how they are matched, and what they take."""
