"""INIT: this process becomes the app's own, as if the app had been started by itself."""

from __future__ import annotations

import builtins
import posix  # for `os`, see main.py
import sys
import time
from _sitebuiltins import Quitter, _Helper

from buntime.worker.bytecode import distrust_young_files
from buntime.worker.paths import is_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from buntime.wire import Message


def adopt(init: Message, bundle: str) -> None:
    """Take on the environment, folder and import path of INIT; `bundle` goes to its end."""
    _take_environment(init["env"])
    posix.chdir(init["dir"])
    _take_path(init["dir"], init["path"], bundle)
    distrust_young_files()
    sys.argv[:] = [f"{init['dir']}/{init['entrypoint']}"]
    if init["prefix"]:
        sys.prefix = sys.exec_prefix = init["prefix"]
    _take_builtins()
    # multiprocessing runs the __main__ of its parent again, by its __file__; this one has none.
    sys.modules["__main__"] = _empty_main()


def _take_environment(env: dict[str, str]) -> None:
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


def _take_path(folder: str, packages: list[str], bundle: str) -> None:
    stdlib = [entry for entry in sys.path if entry != bundle]
    vendor = f"{folder}/vendor"
    own = [folder, vendor] if is_folder(vendor) else [folder]
    # The bundle offers `buntime` and nothing else, so that at the end it hides nothing. This
    # process needs it no more, but those do that multiprocessing spawns with a copy of the path.
    sys.path[:] = [*own, *stdlib, *packages, bundle]


def _take_builtins() -> None:
    """What `site` would have added and code relies on."""
    builtins.exit = Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _Helper()


def _empty_main() -> ModuleType:
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    return main
