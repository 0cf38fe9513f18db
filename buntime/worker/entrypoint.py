"""Imports the app's entrypoint, under the name that the app's other modules would import it by."""

from __future__ import annotations

import _imp
import sys

from buntime.worker.paths import is_file
from buntime.worker.report import BootError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from types import ModuleType


def import_entrypoint(
    folder: str, entrypoint: str, shadows: Container[str] = (), roots: Sequence[str] = ()
) -> ModuleType:
    """Import a file of the app: `"src/app.py"` as `src.app`, or as `app` if `src` is a root.

    A name that is taken, such as `os.py`, or that is invalid, such as `my-app.py`, is changed, and
    so is one in `shadows`, as other modules import it. Raises whatever the module raises.
    """
    path = f"{folder}/{entrypoint}"
    if not is_file(path):
        raise BootError(f"{entrypoint}: there is no such file in {folder}")
    name, place = natural_name(entrypoint), folder
    for root in roots:
        if entrypoint.startswith(f"{root}/"):
            name, place = natural_name(entrypoint[len(root) + 1 :]), f"{folder}/{root}"
    if name is not None and name.partition(".")[0] in shadows:
        from buntime.worker.shadows import PREFIX  # loaded if there are any

        name = PREFIX + name
    elif name is None or not _leads_to(name, place):
        return _import_by_path(path, _made_up_name(entrypoint))
    __import__(name)
    return sys.modules[name]


def natural_name(entrypoint: str) -> str | None:
    """Return what other modules would import a file by: `"src/app.py"` -> `"src.app"`."""
    stem, dot, extension = entrypoint.rpartition(".")
    parts = [part for part in stem.split("/") if part not in ("", ".")]
    if parts[1:] and parts[-1] == "__init__":
        parts.pop()
    if dot + extension != ".py" or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts)


def _leads_to(name: str, folder: str) -> bool:
    """Return whether importing `name` gives the app's file, and nothing that comes before it."""
    first, dot, _ = name.partition(".")
    if first in sys.modules or first in sys.builtin_module_names or _imp.is_frozen(first):
        return False
    plain = f"{folder}/{name.replace('.', '/')}"
    if is_file(f"{plain}/__init__.py"):
        return not is_file(f"{plain}.py")  # else a package hides the entrypoint
    if not dot:
        return True  # the app's folder is the first on the path
    import importlib.machinery  # 1 ms, for an entrypoint in a folder
    import os  # for the same

    # A folder without __init__.py comes after any standard library module of that name.
    spec = importlib.machinery.PathFinder.find_spec(first)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return bool(places) and os.path.samefile(places[0], os.path.join(folder, first))


def _import_by_path(path: str, name: str) -> ModuleType:
    import importlib.machinery  # with importlib.util
    import importlib.util  # 3 ms, for an entrypoint that no import statement could name

    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _made_up_name(entrypoint: str) -> str:
    """`"my-app.py"` -> `"_app_my_app_py"`."""
    return "_app_" + "".join(c if c.isalnum() else "_" for c in entrypoint)
