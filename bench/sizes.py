"""The sizes of bodies, for both sides of a transfer."""

PIECE = bytes(64 << 10)  # what is sent and read at a time
TRANSFER_BYTES = 100 << 20
ECHO_BYTES = 1024
STATIC_SMALL_BYTES = 4 << 10
STATIC_LARGE_BYTES = 10 << 20
