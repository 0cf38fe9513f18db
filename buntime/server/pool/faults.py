"""What a client is told where no worker can answer its request."""

import math

from buntime.core.errors import ServerFault
from buntime.server.pool.hosting import Hosted


def overloaded(message: str, retry_after_s: float) -> ServerFault:
    return ServerFault(503, "overloaded", message, headers=_retry_after(retry_after_s))


def worker_died(message: str = "the app's worker died over this request") -> ServerFault:
    return ServerFault(502, "worker_died", message)


def misconfigured(detail: str) -> ServerFault:
    return ServerFault(
        500,
        "app_misconfigured",
        "the app's folder or manifest is faulty; the log says how",
        detail=detail,
    )


def not_loaded(hosted: Hosted) -> ServerFault:
    """The boot that the request waited for has failed."""
    return ServerFault(
        500, "app_boot_failed", "the app could not be loaded", detail=hosted.boot_error
    )


def crash_looping(hosted: Hosted, retry_after_s: float) -> ServerFault:
    """Boots fail, and the next one is not due."""
    return ServerFault(
        503,
        "app_boot_failed",
        f"the app could not be loaded, {hosted.state.boot_failures} times in a row",
        detail=hosted.boot_error,
        headers=_retry_after(retry_after_s),
    )


def _retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)
