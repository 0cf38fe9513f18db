"""What follows from a failing hook: for the log, the counters and the client."""

from collections.abc import Callable

from buntime.core.errors import ServerFault
from buntime.core.plugins.plan import Hook
from buntime.core.values.protocols import Protocol
from buntime.server.http1.exchange import Exchange
from buntime.server.loop.loop import Loop
from buntime.server.pool.worker import Worker
from buntime.server.telemetry.logs import Log

# What is skipped so long after the last time is another outage: a plugin that had taken no more
# questions may have gone on, which is no change of its state.
_APART_S = 60.0


def unavailable(plugin: str, why: str = "") -> ServerFault:
    """The plugin is away, or may not be skipped; clients see `why` in development."""
    return ServerFault(
        503,
        "plugin_unavailable",
        f"the plugin {plugin} is not available",
        headers=(("Retry-After", "1"),),
        detail=why,
        hint=f"see why: buntime plugins show {plugin}",
    )


def all_closed(why: str) -> ServerFault:
    """A plugin cannot be read, so nobody knows what it guards; clients see `why` in development."""
    return ServerFault(
        503,
        "plugin_unavailable",
        "a plugin cannot be read, and might guard this",
        headers=(("Retry-After", "1"),),
        detail=why,
        hint="see which one and why: buntime plugins check",
    )


def failed(plugin: str, why: str, stack: str) -> ServerFault:
    """502: the plugin raised, was late, or returned something invalid."""
    return ServerFault(
        502,
        "plugin_failed",
        f"the plugin {plugin} failed on this request",
        detail=stack or why,
        hint="correct the error below; this shows it again: "
        f"buntime logs plugin:{plugin} --level error",
    )


def give_up(log: Log, hook: Hook, worker: Worker, number: int, now: float) -> None:
    """A hook is late; if none of the plugin's hooks answers any more, its process is ended."""
    if worker.asking.on_late(number, hook.timeout_s, now):
        log.error(
            "plugin.stuck",
            "plugin no longer answers any of its hooks; killing it",
            plugin=hook.plugin,
            worker=worker.name,
        )
        worker.process.kill()


def tell(log: Log, hook: Hook, name: str, exchange: Exchange, why: str, *, stack: str = "") -> None:
    """Log that a hook has failed; `name` is "on_request" or "on_response"."""
    fields: dict[str, object] = {
        "plugin": hook.plugin,
        "hook": name,
        "error": why,
        "request_id": exchange.id,
        "method": exchange.head.method,
        "path": exchange.head.path,
        **({"stack": stack} if stack else {}),
    }
    if hook.ignores or (hook.is_coming and not hook.closed):
        log.warn("plugin.hook_ignored", "a plugin's hook failed and was skipped", **fields)
    else:
        log.error("plugin.hook_failed", "a plugin's hook failed", **fields)


def tell_of_unasked(log: Log, hook: str, why: str, stack: str = "") -> None:
    """Log that a hook has failed that no request waits for; `log` names the plugin."""
    more = {"stack": stack} if stack else {}
    log.error("plugin.hook_failed", "a plugin's hook failed", hook=hook, error=why, **more)


class Changes(Protocol):
    """The plugins, as far as they may be away."""

    def worker_of(self, name: str) -> Worker | None:
        """The worker of the generation that serves; None while it is away."""

    def follow(self, callback: Callable[[], None]) -> None:
        """Call it when any of these may have changed."""


class Outages:
    """The plugins that are away and that requests go on without; it is said once, not each time."""

    def __init__(self, loop: Loop, log: Log, plugins: Changes) -> None:
        self._loop = loop
        self._log = log
        self._plugins = plugins
        self._last_s: dict[str, float] = {}  # when each was skipped the last time
        plugins.follow(self._on_change)

    def __repr__(self) -> str:
        return f"Outages({[*self._last_s]})"

    def note(self, hook: Hook, exchange: Exchange, why: str) -> None:
        """A request goes on without this hook."""
        name, now = hook.plugin, self._loop.now
        last_s = self._last_s.get(name)
        self._last_s[name] = now
        if last_s is None or now - last_s > _APART_S:
            self._log.warn(
                "plugin.hook_skipped",
                "a plugin is away, and requests go on without its hook",
                plugin=name,
                hook=hook.missed,
                error=why,
                request_id=exchange.id,
                method=exchange.head.method,
                path=exchange.head.path,
            )

    def _on_change(self) -> None:
        for name in tuple(self._last_s):
            if self._plugins.worker_of(name) is not None:
                del self._last_s[name]
