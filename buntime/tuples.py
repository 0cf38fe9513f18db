"""Keys that are tuples, in an order that holds: `from buntime.tuples import encode, decode`."""

from buntime.sdk.tuples import KEY_MAX_BYTES, decode, encode, span

__all__ = ["KEY_MAX_BYTES", "decode", "encode", "span"]
