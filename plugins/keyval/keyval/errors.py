"""How a call fails: a ServiceError with one of these codes."""

from __future__ import annotations

from buntime import ServiceError

CONFLICT = "conflict"  # what was to be so is not: only_if, a check, a receipt
INVALID = "invalid"  # an argument that is none
FULL = "full"  # a bound is reached: of a space, its queues, its watches, the spaces
DISK = "disk"  # the file cannot be read or written

__all__ = ["CONFLICT", "DISK", "FULL", "INVALID", "ServiceError", "conflict", "full", "invalid"]


def invalid(message: str) -> ServiceError:
    """What the caller sent is not what the method takes."""
    return ServiceError(INVALID, message)


def conflict(message: str) -> ServiceError:
    """What is there is not what the caller has expected."""
    return ServiceError(CONFLICT, message)


def full(message: str) -> ServiceError:
    """There is no room for it."""
    return ServiceError(FULL, message)
