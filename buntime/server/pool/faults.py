"""What clients and the log are told when no worker answers a request, or one fails at it."""

import math

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.errors import ServerFault
from buntime.core.pool.claims import LateFault
from buntime.server.http1.exchange import Exchange
from buntime.server.pool.deployment import Deployment
from buntime.server.telemetry.logs import Log

LOAD_SOONER = "do less where the module is imported, or raise RUNTIME_BOOT_TIMEOUT"
SLOW_BOOT = (
    "each request loads the app anew, which takes long; "
    "`ttl: 1h` in its buntime.yaml keeps it loaded"
)
NEEDS_TTL = (
    "the app's framework keeps the sessions of visitors in the process, and each request has a "
    "process of its own; `ttl: none` and `maxRequests: none` in its buntime.yaml keep one for all"
)
RAISE_TIMEOUT = "raise `timeout` in its buntime.yaml, or answer sooner"


def see(app: str, what: str = "errors") -> str | None:
    """The command that shows more about an app or a plugin, for a record of the log.

    A spare worker has no app yet, so there is nothing to show of it.
    """
    if app.startswith(PLUGIN_PREFIX):
        return f"buntime plugins show {app.removeprefix(PLUGIN_PREFIX)}"
    return f"buntime show {app} --{what}" if app else None


def overloaded(message: str, retry_after_s: float) -> ServerFault:
    """503: there is no worker free, and no room in the queue."""
    return ServerFault(503, "overloaded", message, headers=_retry_after(retry_after_s))


def still_loading(detail: str, retry_after_s: float) -> ServerFault:
    """No worker has loaded the app yet, and the request has waited as long as it may."""
    message = "the app has not loaded in time; the log says where it is"
    return ServerFault(
        503, "app_loading", message, detail=detail, headers=_retry_after(retry_after_s)
    )


def worker_died(
    app: str = "", message: str = "the app's worker died over this request"
) -> ServerFault:
    """502: the worker ended before it had answered."""
    hint = f"see how it ended: {see(app, 'autopsies')}" if app else ""
    return ServerFault(502, "worker_died", message, hint=hint)


def late(app: str, seconds: float) -> ServerFault:
    """The app has made no progress for its timeout."""
    return ServerFault(
        504,
        "app_timeout",
        f"the app did not answer in {seconds:g} s",
        hint=f"{RAISE_TIMEOUT}; see where it was: buntime logs {app} --level warn",
    )


def request_failed(app: str, stack: str, advice: str = "") -> ServerFault:
    """The app raised, or returned something invalid."""
    return ServerFault(
        500,
        "app_error",
        "the app failed on this request",
        detail=stack,
        hint=f"correct the error below{advice}; this shows it again: {see(app)}",
    )


def out_of_memory() -> ServerFault:
    """502: the worker was ended for its memory."""
    return ServerFault(502, "out_of_memory", "the app's worker needed more memory than it may use")


def misconfigured(detail: str) -> ServerFault:
    """500: the folder or the manifest is faulty; `detail` says how."""
    return ServerFault(
        500,
        "app_misconfigured",
        "the app's folder or manifest is faulty; the log says how",
        detail=detail,
        hint="correct the fault below; the folder is read again as soon as a file changes",
    )


def plugin_stopped(name: str) -> ServerFault:
    """The plugin was switched off or removed while a request was on its way to it."""
    return ServerFault(
        503, "plugin_unavailable", f"the {name} is not available", headers=_retry_after(1)
    )


def not_loaded(deployment: Deployment | None) -> ServerFault:
    """The boot that the request waited for has failed."""
    if deployment is None:  # it was dropped meanwhile
        return worker_died()
    return ServerFault(
        500,
        "app_boot_failed",
        "the app could not be loaded",
        detail=deployment.boot_error,
        hint=f"see what it printed: buntime logs {deployment.app.name}",
    )


def refused(deployment: Deployment | None, retry_after_s: float, now: float) -> ServerFault:
    """A queue is full, or boots fail and the next one is not due."""
    if deployment is None or not deployment.state.is_crash_looping(now):
        return overloaded("the app has more requests than it can handle", retry_after_s)
    return ServerFault(
        503,
        "app_boot_failed",
        f"the app could not be loaded, {deployment.state.boot_failures} times in a row",
        detail=deployment.boot_error,
        headers=_retry_after(retry_after_s),
    )


def log_timeout(log: Log, exchange: Exchange, worker: str) -> None:
    """The app has made no progress for its timeout."""
    log.warn(
        "app.timeout",
        "app did not answer in time",
        request_id=exchange.id,
        method=exchange.head.method,
        path=exchange.head.path,
        worker=worker,
        timeout_s=exchange.timeout_s,
        hint=RAISE_TIMEOUT,
    )


def log_late(log: Log, fault: LateFault, app: str) -> None:
    """A handler raised something when its answer was complete."""
    log.error(
        "app.failed_late",
        "app raised an error after its answer",
        error=fault.message,
        stack=fault.stack,
        request_id=fault.request_id or None,
        method=fault.method,
        path=fault.target.partition("?")[0],
        hint=see(app),
    )


def _retry_after(seconds: float) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(max(1, math.ceil(seconds)))),)
