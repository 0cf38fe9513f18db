"""Whether the time of a file or folder would show a further change.

Two changes within one tick of the file system's clock leave the same time, so what was read between
them looks unchanged for ever. What changed less than some ticks ago is therefore read again instead
of trusted.
"""

_SECOND_NS = 1_000_000_000
_FINE_NS = _SECOND_NS // 10  # ten of the coarsest ticks of Linux, 10 ms; ext4 has 4 ms
_COARSE_NS = 2 * _SECOND_NS  # one tick of FAT


def is_settled(changed_ns: int, now_ns: int) -> bool:
    """Whether any change from `now_ns` on leaves another time than `changed_ns`.

    Both are in ns since 1970, by the same clock. A time with a fraction of a second comes from a
    file system that counts fractions; any other time may come from one that counts seconds.
    """
    return now_ns - changed_ns > (_FINE_NS if changed_ns % _SECOND_NS else _COARSE_NS)
