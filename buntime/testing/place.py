"""Where an app of a folder runs: its variables, its folder and its modules, while it is asked.

A worker has a process for that. Here an app takes its place when it is called, and leaves it for
another app, or when its client is closed: then the variables, the working directory and `sys.path`
are restored, and the modules imported from its folder are forgotten, so that the next client loads
the app again.
"""

import builtins
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from buntime.worker.adoption import find_shadows
from buntime.worker.entrypoint import import_entrypoint, natural_name
from buntime.worker.shadows import keep_apart


class Place:
    """What an app has to itself, although it shares the process."""

    def __init__(self, folder: Path | None, roots: Sequence[str], env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = dict(env)
        self._path = _import_path(folder, roots) if folder is not None else []
        self._shadows = find_shadows(self._path, _library())
        self._modules: dict[str, ModuleType] = {}  # of the app, while it is not in its place
        # while it is
        self._others: set[str] = set()  # modules that were there before
        self._variables: dict[str, str | None] = {}  # as they were before
        self._cwd = ""
        self._import = builtins.__import__
        self._finders: list[object] = []

    def enter(self) -> None:
        """Take it from whichever app has it."""
        if _taken and _taken[0] is self:
            return
        if _taken:
            _taken[0].leave()
        _taken.append(self)
        self._variables = {name: os.environ.get(name) for name in self._env}
        os.environ.update(self._env)
        self._others = {*sys.modules}
        self._finders, self._import = [*sys.meta_path], builtins.__import__
        if self._folder is not None:
            self._cwd = os.getcwd()
            os.chdir(self._folder)
            sys.path[:0] = self._path
            importlib.invalidate_caches()
            if self._shadows:
                keep_apart(self._shadows, _library(), str(self._folder))
        sys.modules.update(self._modules)

    def leave(self) -> None:
        """Give it back."""
        if not _taken or _taken[0] is not self:
            return
        _taken.clear()
        for name, value in self._variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self._folder is None:
            return
        os.chdir(self._cwd)
        for entry in self._path:
            if entry in sys.path:
                sys.path.remove(entry)
        if self._shadows:
            sys.meta_path[:] = [each for each in sys.meta_path if each in self._finders]
            builtins.__import__ = self._import
        new = sys.modules.keys() - self._others
        self._modules = {name: sys.modules.pop(name) for name in new if self._is_own(name)}

    def load(self, entrypoint: str, roots: Sequence[str]) -> ModuleType:
        """The app's module, imported unless the test has done that. Raises what it raises."""
        if self._folder is None:
            raise AssertionError("an app that is in no folder")
        name = natural_name(entrypoint)
        known = sys.modules.get(name) if name else None
        file = getattr(known, "__file__", None)
        if known is not None and file and os.path.samefile(file, self._folder / entrypoint):
            return known
        return import_entrypoint(str(self._folder), entrypoint, self._shadows, roots)

    def _is_own(self, name: str) -> bool:
        file = getattr(sys.modules[name], "__file__", None)
        return isinstance(file, str) and file.startswith(f"{self._folder}/")


_taken: list[Place] = []  # the one whose app is called


def _import_path(folder: Path, roots: Sequence[str]) -> list[str]:
    """Where modules of the app are looked for, before all others, as in a worker."""
    vendor = folder / "vendor"
    own = [folder, *(folder / root for root in roots)]
    return [str(each) for each in (*own, *([vendor] if vendor.is_dir() else []))]


def _library() -> list[str]:
    """The folders of the standard library."""
    folder = os.path.dirname(os.__file__)
    return [each for each in sys.path if each == folder or each.startswith(f"{folder}/lib-")]
