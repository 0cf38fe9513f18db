"""INIT: this process becomes the app's own, as if the app had been started by itself."""

from __future__ import annotations

import builtins
import os
import sys
import time
from _sitebuiltins import Quitter, _Helper

from buntime.worker.bytecode import distrust_young_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from buntime.wire import Message


def adopt(init: Message, bundle: str) -> None:
    """Take on the environment, folder and import path of INIT; `bundle` goes to its end."""
    _take_environment(init["env"])
    os.chdir(init["dir"])
    _take_path(init["dir"], init["path"], bundle)
    distrust_young_files()
    sys.argv[:] = [os.path.join(init["dir"], init["entrypoint"])]
    if init["prefix"]:
        sys.prefix = sys.exec_prefix = init["prefix"]
    _take_builtins()
    # multiprocessing runs the __main__ of its parent again, by its __file__; this one has none.
    sys.modules["__main__"] = _empty_main()


def _take_environment(env: dict[str, str]) -> None:
    zone = os.environ.get("TZ")
    os.environ.clear()
    os.environ.update(env)
    if os.environ.get("TZ") != zone:
        time.tzset()


def _take_path(folder: str, packages: list[str], bundle: str) -> None:
    stdlib = [entry for entry in sys.path if entry != bundle]
    vendor = os.path.join(folder, "vendor")
    own = [folder, vendor] if os.path.isdir(vendor) else [folder]
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
