"""How long an app's imports take while it loads: what its cold start is made of.

Each module's own time counts, without that of its imports, and goes to its package: `numpy` with
all of its modules is one entry, so the entries add up. The loaders' methods are wrapped to measure,
which costs 1 us per module where loading one takes 200; the search on the path counts for the
importing module.

It measures from `begin` to `end`, on the thread that loads the app. The interpreter removes the
frames of the import system from tracebacks, recognising them by their file name: so ours has that
name.
"""

from __future__ import annotations

from _frozen_importlib_external import ExtensionFileLoader, _LoaderBasics
from _thread import get_ident
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Exec = Callable[[Any, Any], Any]

REPORTED_MAX = 10  # packages
NAME_MAX = 100  # characters
_OF_IMPORTLIB = "<frozen importlib._bootstrap_external>"


class _Meter:
    """The times of one boot."""

    def __init__(self) -> None:
        self.own_s: dict[str, float] = {}  # by package
        self.modules: dict[str, int] = {}
        self._thread = get_ident()
        self._inner_s = [0.0]  # for each running import, how long its own imports have taken

    def wrap(self, method: Exec) -> Exec:
        """Return the method of a loader, timed."""

        def timed(loader: Any, given: Any) -> Any:  # a module, or the spec of one
            if get_ident() != self._thread:
                return method(loader, given)
            self._inner_s.append(0.0)
            started = perf_counter()
            try:
                return method(loader, given)
            finally:
                took_s = perf_counter() - started
                own_s = took_s - self._inner_s.pop()
                self._inner_s[-1] += took_s
                self._note(getattr(given, "__name__", None) or given.name, own_s)

        timed.__code__ = timed.__code__.replace(co_filename=_OF_IMPORTLIB)
        return timed

    def _note(self, name: str, own_s: float) -> None:
        package = str(name).partition(".")[0]
        self.own_s[package] = self.own_s.get(package, 0.0) + own_s
        self.modules[package] = self.modules.get(package, 0) + 1


_meter: _Meter | None = None
# Those of Python code, and of what is compiled, which is loaded as its module is made.
_PLACES: tuple[tuple[Any, str], ...] = (
    (_LoaderBasics, "exec_module"),
    (ExtensionFileLoader, "create_module"),
)
_ORIGINAL = [getattr(cls, name) for cls, name in _PLACES]


def begin() -> None:
    """Start measuring."""
    global _meter  # noqa: PLW0603  # one of the process, as the import system is
    _meter = _Meter()
    for (cls, name), method in zip(_PLACES, _ORIGINAL):
        setattr(cls, name, _meter.wrap(method))


def end() -> list[list[Any]]:
    """Stop measuring; returns name, ms and number of modules of the slowest, slowest first."""
    global _meter  # see above
    meter, _meter = _meter, None
    for (cls, name), method in zip(_PLACES, _ORIGINAL):
        setattr(cls, name, method)
    if meter is None:
        return []
    slowest = sorted(meter.own_s.items(), key=lambda each: -each[1])[:REPORTED_MAX]
    return [
        [name[:NAME_MAX], round(own_s * 1000, 1), meter.modules[name]] for name, own_s in slowest
    ]
