"""INIT: this process becomes the app's own, as if the app had been started directly."""

from __future__ import annotations

import _imp
import builtins
import posix  # for `os`, see main.py
import sys
import time
from _sitebuiltins import Quitter, _Helper

from buntime.worker.bytecode import distrust_young_files
from buntime.worker.paths import is_file, is_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from buntime.wire import Message

# What the standard library tries to import on every system.
_OF_OTHER_SYSTEMS = {"_overlapped", "_scproxy", "_winapi", "msvcrt", "nt", "winreg"}


def adopt(init: Message, bundle: str) -> Mapping[str, str]:
    """Adopt the environment, folder and import path of INIT; `bundle` goes to the end of the path.

    Returns the names of standard library modules that files of the app have, with their folders.
    """
    take_environment(init)
    posix.chdir(init["dir"])
    shadows = _take_path(init, bundle)
    distrust_young_files()
    sys.argv[:] = [f"{init['dir']}/{init['entrypoint']}"]
    if init["prefix"]:
        sys.prefix = sys.exec_prefix = init["prefix"]
    _take_builtins()
    # multiprocessing runs the __main__ of its parent again, by its __file__; this one has none.
    sys.modules["__main__"] = _empty_main()
    return shadows


def take_environment(init: Message) -> None:
    """Set the variables of INIT, including secrets among them, and remove all others."""
    _take_variables(_environment(init))


def _environment(init: Message) -> dict[str, str]:
    env: dict[str, str] = init["env"]
    if "secrets" not in init:
        return env
    from buntime.worker.granted import take_secrets  # few apps have some

    return {**env, **take_secrets(init)}


def _take_variables(env: dict[str, str]) -> None:
    """Change the environment of C and of `posix`, which `os.environ` is made of or writes to."""
    environ = posix.environ
    zone = environ.get(b"TZ")
    for name in environ:
        posix.unsetenv(name)
    environ.clear()
    for text, value in env.items():
        name = _encoded(text)
        environ[name] = _encoded(value)
        posix.putenv(name, environ[name])
    if environ.get(b"TZ") != zone:
        time.tzset()


def _encoded(text: str) -> bytes:
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def _take_path(init: Message, bundle: str) -> Mapping[str, str]:
    folder: str = init["dir"]
    packages: list[str] = init["path"]
    stdlib = [entry for entry in sys.path if entry != bundle]
    vendor = f"{folder}/vendor"
    roots: list[str] = init.get("roots") or []
    own = [folder, *(root if root[0] == "/" else f"{folder}/{root}" for root in roots)]
    if is_folder(vendor):
        own.append(vendor)
    shadows = find_shadows(own, stdlib)
    if shadows:
        from buntime.worker.shadows import keep_apart  # 0.2 ms, for few apps

        keep_apart(shadows, stdlib, folder)
    # The bundle offers only `buntime`, so at the end of the path it hides nothing. This process no
    # longer needs it, but processes that multiprocessing spawns with a copy of the path do.
    sys.path[:] = [*own, *stdlib, *packages, bundle]
    for name in init.get("hooks") or ():
        __import__(name)  # of setuptools: it finds packages that were installed as editable
        sys.modules[name].install()
    return shadows


def find_shadows(folders: list[str], stdlib: list[str]) -> dict[str, str]:
    """Return names of standard library modules that modules in `folders` have, with their
    folders."""
    names = getattr(sys, "stdlib_module_names", None) or _names_in(stdlib)  # 3.9 has no such set
    found = {}
    for folder in reversed(folders):  # the first one wins
        for entry in _listed(folder):
            name, dot, kind = entry.partition(".")
            if name not in names or name in sys.builtin_module_names or _imp.is_frozen(name):
                continue  # these are never looked for on the path
            if kind in ("py", "pyc") or (not dot and is_file(f"{folder}/{name}/__init__.py")):
                found[name] = folder
    return found


def _names_in(folders: list[str]) -> set[str]:
    here = {entry.partition(".")[0] for folder in folders for entry in _listed(folder)}
    return here | _OF_OTHER_SYSTEMS


def _listed(folder: str) -> list[str]:
    try:
        return posix.listdir(folder)
    except OSError:
        return []  # a zip archive, or not there


def _take_builtins() -> None:
    """What `site` would have added, and code relies on."""
    builtins.exit = Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _Helper()


def _empty_main() -> ModuleType:
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    return main
