"""Freed memory that is kept for the next buffer.

glibc's malloc maps blocks larger than 128 KiB anew each time, and gives back the top of its heap as
soon as that much of it is free. So each buffer of a transfer used to come as fresh pages, which the
kernel clears and charges one by one: 14 page faults for 64 KiB, and half of the speed lost. malloc
itself changes what mallopt(3) would change: freeing a mapped block raises the first limit to its
size, and the second to twice that. With another malloc, nothing happens.
"""

_BLOCK_BYTES = 1024 * 1024  # larger than any buffer here; twice as much is kept at most


def keep_freed_memory() -> None:
    """Make blocks of up to 1 MiB come from the heap, and the heap keep up to 2 MiB."""
    bytes(_BLOCK_BYTES)  # freed at once, and never touched; a bytearray would be filled
