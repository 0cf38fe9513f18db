"""Finds the hooks and services in a plugin's module."""

from __future__ import annotations

from buntime.sdk.plugin import MARK, Runtime, plugin
from buntime.worker.appkind import what_is
from buntime.worker.callables import is_async, shape_of, wraps_async, yields_async
from buntime.worker.report import BootError, complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any

    from buntime.wire import Message

# name -> the arguments that it is called with
LIFE = {"on_init": 0, "on_server_start": 0, "on_shutdown": 0}
NOTICES = {
    "on_worker_spawn": 1,
    "on_worker_terminate": 1,
    "on_apps_changed": 1,
    "on_plugins_changed": 1,
}
HOOKS = {"on_request": 1, "on_response": 2, **LIFE, **NOTICES}
_OF_APPS = ("on_idle", "on_terminate")


class Function:
    """A hook or an exposed method, and what is known about it."""

    __slots__ = ("call", "is_async", "label", "needs_loop")

    def __init__(self, call: Any, label: str) -> None:
        self.call = call
        self.label = label
        self.is_async = is_async(call)
        # A plain function around an async one: what it returns is known only after the call.
        self.needs_loop = self.is_async or wraps_async(call) or yields_async(call)


class Plugin:
    """A loaded plugin: its hooks, and the exposed methods of its services."""

    def __init__(self, module: ModuleType, init: Message) -> None:
        """Raises BootError if a hook cannot be called like one."""
        self.entrypoint: str = init["entrypoint"]
        self.sees_bodies: bool = init["plugin"].get("body") is not False
        self.hooks = dict(_hooks_of(module, self.entrypoint))
        self.has_shut_down = False  # on_shutdown was requested
        self._module = module
        self.services: dict[str, dict[str, Function]] = {}
        self.find_services()

    def find_services(self) -> None:
        """Look up what is offered: when it is loaded, and again after on_init, which may add
        services."""
        self.services = _services_of(self._module, self.entrypoint)

    def needs_loop(self) -> bool:
        """Return whether anything here is async, so that the plugin should be."""
        methods = [each for service in self.services.values() for each in service.values()]
        return any(each.needs_loop for each in [*self.hooks.values(), *methods])

    def offer(self) -> Message:
        """Return what READY says about it."""
        services = {name: sorted(methods) for name, methods in self.services.items()}
        return {"hooks": [name for name in HOOKS if name in self.hooks], "services": services}


def introduce(info: Message) -> None:
    """Fill `buntime.plugin.plugin` from INIT, before the module is imported."""
    runtime = info.get("runtime") or {}
    plugin.name = info["name"]
    plugin.config = info.get("config") or {}
    plugin.runtime = Runtime(
        runtime.get("version", ""), runtime.get("api", 1), runtime.get("environment", "production")
    )


def _hooks_of(module: ModuleType, entrypoint: str) -> Iterator[tuple[str, Function]]:
    for name, value in vars(module).items():
        if not name.startswith("on_") or value is None or name in _OF_APPS:
            continue
        if name not in HOOKS:
            if callable(value):  # may be the plugin's own function, or a typo
                complain(
                    f"buntime: {entrypoint}: {name} is not a hook; hooks are {', '.join(HOOKS)}"
                )
            continue
        count = HOOKS[name]
        shape = shape_of(value) if callable(value) else None
        if not callable(value) or (shape is not None and not shape.takes(count)):
            arguments = ("no arguments", "one argument", "two arguments: request, response")[count]
            raise BootError(f"{entrypoint}: {name} must be a function that takes {arguments}")
        yield name, Function(value, name)


def _services_of(module: ModuleType, entrypoint: str) -> dict[str, dict[str, Function]]:
    value = vars(module).get("services")
    if value is None or isinstance(value, type(module)):  # a module of the plugin's, imported
        return {}
    if not isinstance(value, dict):
        raise BootError(
            f"{entrypoint}: services is {what_is(value)}, not a dict of objects by name"
        )
    services = {}
    for name, offered in value.items():
        if not isinstance(name, str) or not name:
            raise BootError(f"{entrypoint}: services has the name {name!r}, which is not text")
        methods = dict(_exposed_of(offered, name, entrypoint))
        if not methods:
            raise BootError(f"{entrypoint}: services[{name!r}] has no method marked with @exposed")
        services[name] = methods
    return services


def _exposed_of(offered: Any, service: str, entrypoint: str) -> Iterator[tuple[str, Function]]:
    """Look for marks without running properties; the first in the order counts."""
    seen: set[str] = set()
    kinds = offered.__mro__ if isinstance(offered, type) else type(offered).__mro__
    for namespace in (getattr(offered, "__dict__", {}), *(vars(kind) for kind in kinds)):
        for name, value in [*namespace.items()]:
            if name in seen:
                continue
            seen.add(name)
            inner = getattr(value, "__func__", value)
            if not callable(inner) or getattr(inner, MARK, None) is not True:
                continue
            if name.startswith("_"):
                raise BootError(f"{entrypoint}: services[{service!r}].{name} is exposed, but its "
                                "name begins with _")  # fmt: skip
            yield name, Function(getattr(offered, name), f"{service}.{name}")
