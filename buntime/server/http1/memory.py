"""Freed memory that is kept for the next buffer.

glibc's malloc maps what is larger than 128 KiB anew each time, and gives the top of its heap back
as soon as that much of it is free; so each buffer of a transfer came as fresh pages, which the
kernel clears and charges one by one: 14 page faults for 64 KiB, and half of the speed. What
mallopt(3) would change is changed by malloc itself, too: freeing a mapped block raises the first
limit to its size, and the second to twice that. Where malloc is another one, nothing happens.
"""

_BLOCK_BYTES = 1024 * 1024  # larger than any buffer here; twice as much is kept at most


def keep_freed_memory() -> None:
    """Have blocks of up to 1 MiB come from the heap, and the heap keep up to 2 MiB."""
    bytearray(_BLOCK_BYTES)  # freed at once, and never touched
