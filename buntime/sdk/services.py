"""Services of plugins, as their users see them: `service("kv").get("a")`.

`service` blocks, `async_service` returns awaitables. What a method returns comes back as JSON
would, with bytes unchanged; a method that yields gives an iterator. `timeout_s` is how long the
caller waits at most, 5 seconds by default.
"""

from __future__ import annotations

import sys
from _contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable
    from typing import Any, Protocol

    class AsyncCall(Awaitable[Any], AsyncIterable[Any], Protocol):
        """What a method of `async_service` returns: `await` it, or `async for item in` it."""

    class Waiter(Protocol):
        """A call, on the provider's side."""

        def is_cancelled(self) -> bool: ...

    class Link(Protocol):
        """How calls leave this process; the worker supplies it."""

        def call(self, request: Request) -> Any: ...
        def call_async(self, request: Request) -> AsyncCall: ...
        def forget(self, tag: str) -> None: ...


__all__ = ["AsyncService", "Service", "ServiceError", "async_service", "service"]

# The caller of the method that runs now: `app:shop`, `plugin:audit`.
CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
# The deadline of the hook or method that runs now, by time.monotonic().
DEADLINE_S: ContextVar[float | None] = ContextVar("deadline_s", default=None)
# Knows whether somebody still waits for the method that runs now.
WAITER: ContextVar[Waiter | None] = ContextVar("waiter", default=None)

_links: list[Link] = []  # the one of this process, once it has one


class ServiceError(Exception):
    """A call that did not succeed; `code` says why.

    `unknown` (no such service or method), `no grant`, `late`, `away` (its plugin does not run),
    `busy` (too many calls under way), `moved` (a stream whose plugin was reloaded), `forked` (this
    process has no channel of its own), `failed` (the method raised), or a code of the plugin:
    `raise ServiceError("conflict", "another one was first")` there arrives here.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message or self.code


class Request:
    """A call to be made."""

    __slots__ = ("args", "kwargs", "method", "service", "timeout_s")

    def __init__(
        self,
        service: str,
        method: str,
        timeout_s: float | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.service = service
        self.method = method
        self.timeout_s = timeout_s
        self.args = args
        self.kwargs = kwargs


class Service:
    """A service whose methods block until they have an answer."""

    def __init__(self, name: str, timeout_s: float | None) -> None:
        self._name = name
        self._timeout_s = timeout_s

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(f"{method} is not exposed by any service")
        name, timeout_s = self._name, self._timeout_s

        def call(*args: Any, **kwargs: Any) -> Any:
            return link().call(Request(name, method, timeout_s, args, kwargs))

        self.__dict__[method] = call  # found at once the next time
        return call

    def __repr__(self) -> str:
        return f"service({self._name!r})"


class AsyncService(Service):
    """A service whose methods are awaited, or iterated with `async for`."""

    def __getattr__(self, method: str) -> Callable[..., AsyncCall]:
        if method.startswith("_"):
            raise AttributeError(f"{method} is not exposed by any service")
        name, timeout_s = self._name, self._timeout_s

        def call(*args: Any, **kwargs: Any) -> AsyncCall:
            return link().call_async(Request(name, method, timeout_s, args, kwargs))

        self.__dict__[method] = call
        return call

    def __repr__(self) -> str:
        return f"async_service({self._name!r})"


def service(name: str, timeout_s: float | None = None) -> Service:
    """A service by its name. It need not exist yet: calls raise an error if it does not."""
    return Service(*_checked(name, timeout_s))


def async_service(name: str, timeout_s: float | None = None) -> AsyncService:
    """The same for code that runs on an event loop."""
    return AsyncService(*_checked(name, timeout_s))


def _checked(name: Any, timeout_s: float | None) -> tuple[str, float | None]:
    if not isinstance(name, str) or not name:
        raise TypeError(f"a service is asked for by its name, not by {name!r}")
    if timeout_s is not None and not 0 < timeout_s < 1e6:
        raise ValueError(f"timeout_s is a number of seconds above 0, not {timeout_s!r}")
    return name, timeout_s


def connect(new: Link) -> None:
    """Set the link that calls of this process use."""
    _links[:] = [new]


def link() -> Link:
    """Return the link of this process. Raises ServiceError if it has none."""
    if not _links:
        raise _no_link()
    return _links[0]


def _no_link() -> ServiceError:
    spawned = sys.modules.get("multiprocessing.process")
    if spawned is not None and spawned.parent_process() is not None:
        return ServiceError("forked", "a child process cannot call services; its parent can")
    return ServiceError("no grant", "the manifest names no services under `uses`")
