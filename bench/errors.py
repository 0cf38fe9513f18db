"""The error of a benchmark that cannot be run."""


class BenchError(Exception):
    """Something could not be measured; the message says what it is, and what to do."""
