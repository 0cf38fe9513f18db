"""Errors of calls: a ServiceError with one of these codes."""

from __future__ import annotations

from buntime import ServiceError

CONFLICT = "conflict"  # an expectation failed: only_if, a check, a receipt
INVALID = "invalid"  # an invalid argument
FULL = "full"  # a limit is reached: of a space, its queues, its watches, the spaces
DISK = "disk"  # the file cannot be read or written

__all__ = ["CONFLICT", "DISK", "FULL", "INVALID", "ServiceError", "conflict", "full", "invalid"]


def invalid(message: str) -> ServiceError:
    """The caller sent something that the method does not accept."""
    return ServiceError(INVALID, message)


def conflict(message: str) -> ServiceError:
    """The stored state is not what the caller expected."""
    return ServiceError(CONFLICT, message)


def full(message: str) -> ServiceError:
    """There is no room for it."""
    return ServiceError(FULL, message)
