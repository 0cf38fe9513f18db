"""Tuples as keys, sorted like the tuples: `from buntime.tuples import encode, decode`."""

from buntime.sdk.tuples import KEY_MAX_BYTES, decode, encode, span

__all__ = ["KEY_MAX_BYTES", "decode", "encode", "span"]
