"""What keeps a benchmark from being made."""


class BenchError(Exception):
    """Something could not be measured; the message says what, and what to do."""
