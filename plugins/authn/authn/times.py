"""Times, as the API writes them."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(seconds: float) -> str:
    """`"2027-01-15T08:00:00Z"` from seconds since 1970."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
