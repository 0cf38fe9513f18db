"""Modules that the stem has imported, and that its forks have not until they import them.

Running the code of `asyncio` and of what it needs takes a worker longer than all else. In a fork
an import gives the stem's module, with all modules that came with it. Until then the fork knows of
none of them: not in sys.modules, not among the functions for the exit.

A module is given only if the search on this worker's path leads to the same file, and if all that
it has imported is in sys.modules as it was in the stem, or not at all. So an app's own `token.py`,
or a module that it has replaced, is found as in any worker.

Run in the stem, see stem.py: imports nothing but what a worker has.
"""

from __future__ import annotations

import _frozen_importlib as importing
import atexit
import builtins
import posix
import sys
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# What many apps of tests import.
_NAMES = (
    "asyncio base64 collections.abc concurrent.futures contextlib contextvars dataclasses datetime "
    "functools hashlib itertools json logging math os pathlib queue random re secrets select "
    "shutil signal socket sqlite3 string struct subprocess tempfile threading time traceback types "
    "typing urllib.parse"
).split()
_ALWAYS_FIRST = ("built-in", "frozen")  # nothing on the path comes before these


class Stash:
    """The modules, and the finder of a fork."""

    def __init__(self, bundle: str, own: Iterable[str]) -> None:
        """Import them, and put them aside with the stem's `own`."""
        future = sys.modules.pop("__future__")  # a stand-in, see the worker's start.py
        self._had = {name: each for name, each in sys.modules.items() if name not in own}
        self._needs: dict[str, set[str]] = {}  # what each has imported itself
        self._at_exit: dict[str, list[tuple[Any, ...]]] = {}
        self._importing = [""]
        self._record([*_NAMES, *_modules_of(bundle)])
        self._kept = {name: each for name, each in sys.modules.items() if name not in self._had}
        for name in self._kept:
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent in self._had:
                vars(self._had[parent]).pop(child, None)
        sys.modules["__future__"] = future
        self._specs = {name: getattr(each, "__spec__", None) for name, each in self._kept.items()}
        self._with = {name: self._reached_from(name) for name in self._kept}

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None leaves the search to others."""
        kept = self._kept.get(name)
        if kept is None or sys.meta_path[0] is not self:  # an app's own finders come first
            return None
        spec = self._specs[name]
        if spec is None or spec.name != name:
            return None
        if spec.origin not in _ALWAYS_FIRST:
            found = PathFinder.find_spec(name, path, target)
            if found is None or found.origin != spec.origin:
                return None
        if not all(self._is_as_it_was(each) for each in self._with[name]):
            return None
        given = importing.ModuleSpec(name, self, origin=spec.origin)
        given.submodule_search_locations = spec.submodule_search_locations
        return given

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._kept[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Give it, and what came with it."""
        given = module.__spec__
        assert given is not None
        module.__spec__ = self._specs[given.name]
        self._give(given.name)
        for each in self._with[given.name]:
            if each not in sys.modules:
                sys.modules[each] = self._kept[each]
                self._give(each)

    def _give(self, name: str) -> None:
        parent, _, child = name.rpartition(".")
        if parent in self._had:
            setattr(self._had[parent], child, self._kept[name])
        for function, args, kwargs in self._at_exit.pop(name, ()):
            atexit.register(function, *args, **kwargs)

    def _is_as_it_was(self, name: str) -> bool:
        if name in self._kept:
            return name not in sys.modules or sys.modules[name] is self._kept[name]
        return sys.modules.get(name) is self._had[name]

    def _reached_from(self, name: str) -> tuple[str, ...]:
        reached, left = {name}, [name]
        while left:
            for each in self._needs.get(left.pop(), ()):
                if each not in reached and (each in self._kept or each in self._had):
                    reached.add(each)
                    left.append(each)
        reached.discard(name)
        return tuple(each for each in (*self._had, *self._kept) if each in reached)

    def _record(self, names: Iterable[str]) -> None:
        """Import these, and note which module imports which: by a statement, found or not, or by
        being loaded meanwhile."""
        load, plain, register = importing._find_and_load, builtins.__import__, atexit.register

        def find_and_load(name: str, import_: Any) -> Any:
            self._note(name)
            self._importing.append(name)
            before = set(sys.modules)
            try:
                return load(name, import_)
            finally:
                self._importing.pop()
                for each in sys.modules.keys() - before:
                    self._needs.setdefault(name, set()).add(each)

        def import_(  # which the interpreter calls by position
            name: str, scope: Any = None, inner: Any = None, fromlist: Any = (), level: int = 0
        ) -> Any:
            package = (scope or {}).get("__package__") or ""
            got = plain(name, scope, inner, fromlist, level)
            for _ in range(level - 1):
                package = package.rpartition(".")[0]
            whole = ".".join(filter(None, (package, name))) if level else name
            self._note(whole)
            for attribute in fromlist or ():
                self._note(f"{whole}.{attribute}")
                # A package may have imported its module only when it was asked for the attribute.
                maker = getattr(getattr(got, attribute, None), "__module__", None)
                if isinstance(maker, str) and maker.startswith(f"{whole}."):
                    self._note(maker)
            return got

        def register_later(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            at_exit = self._at_exit.setdefault(self._importing[-1], [])
            at_exit.append((function, args, kwargs))
            return function

        importing._find_and_load, builtins.__import__ = find_and_load, import_
        atexit.register = register_later
        try:
            for name in names:
                try:
                    __import__(name)
                except ImportError:  # a Python without sqlite3
                    continue
        finally:
            importing._find_and_load, builtins.__import__ = load, plain
            atexit.register = register

    def _note(self, name: str) -> None:
        """The module that is being imported needs this one, and what is above it."""
        needs = self._needs.setdefault(self._importing[-1], set())
        while name:
            needs.add(name)
            name = name.rpartition(".")[0]


def _modules_of(bundle: str) -> Iterator[str]:
    """The worker's modules, and what apps import."""
    for folder in ("worker", "sdk"):
        for name in sorted(posix.listdir(f"{bundle}/buntime/{folder}")):
            module, _, kind = name.rpartition(".")
            if kind == "py" and module not in ("__init__", "__main__", "launch", "start"):
                yield f"buntime.{folder}.{module}"
    yield from ("buntime.plugin", "buntime.keyval")
