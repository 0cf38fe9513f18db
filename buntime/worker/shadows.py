"""An app's files with names of standard library modules: `token.py`, `types.py`, `random.py`.

The app's folder is first on `sys.path`, so everything that imports these names would find them:
`asyncio`, `traceback`, packages. Instead:

- The app's own modules get the app's file, as they do under `python app.py`. It is imported as
  `_app_token`, so that both can exist side by side. They get from the library what can only be
  there: `email.message`, if the app's `email` is one file.
- All others get the standard library: its own modules, packages (also in vendor/), and this worker,
  whatever it imports at any time, such as `traceback` once a handler has raised.

Loaded only if there are such files.
"""

from __future__ import annotations

import builtins
import sys
from _frozen_importlib_external import PathFinder, spec_from_file_location

from buntime.worker.paths import is_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

PREFIX = "_app_"
_FUTURE = "__future__"  # the language defines what it means


class Finder:
    """Finds the standard library's module by a name, and the app's by that with PREFIX."""

    def __init__(self, names: Mapping[str, str], stdlib: Sequence[str]) -> None:
        self._names = names
        self._stdlib = stdlib

    def find_spec(
        self, name: str, path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Return where a module is, None if others should look for it.

        Raises ModuleNotFoundError if the library could have it, but does not.
        """
        if path is not None:
            return None
        if name in self._names:
            found = PathFinder.find_spec(name, self._stdlib)
            if found is None:  # such as msvcrt, for which `subprocess` looks everywhere
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            return found
        plain = name[len(PREFIX) :]
        if not name.startswith(PREFIX) or plain not in self._names:
            return None
        found = PathFinder.find_spec(plain, [self._names[plain]])
        if found is None or found.origin is None:
            return None  # the file has gone
        places = found.submodule_search_locations
        return spec_from_file_location(name, found.origin, submodule_search_locations=places)


def keep_apart(names: Mapping[str, str], stdlib: Sequence[str], folder: str) -> None:
    """Give each importer its own; `names` are those of files, with their folders."""
    sys.meta_path.insert(0, Finder(names, stdlib))
    plain = builtins.__import__
    beside = f"{folder}/"
    vendor = f"{folder}/vendor/"

    def import_(
        name: str,
        globals: Any = None,  # noqa: A002  # the names that __import__ gives them
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name.partition(".")[0] in names and is_own(globals) and has(name):
            name = PREFIX + name
        return plain(name, globals, locals, fromlist, level)

    def has(name: str) -> bool:
        first, dot, _ = name.partition(".")
        is_module = not dot or is_file(f"{names[first]}/{first}/__init__.py")
        return is_module and name != _FUTURE

    def is_own(importer: Any) -> bool:
        file = importer.get("__file__") if importer else None
        return (
            isinstance(file, str)
            and file.startswith(beside)
            and not file.startswith(vendor)
            and "/site-packages/" not in file
        )

    builtins.__import__ = import_
