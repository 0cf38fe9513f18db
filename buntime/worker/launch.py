"""What a worker's interpreter runs: the bundle folder holds this file as its `__main__.py`.

Both `python BUNDLE …` and `python BUNDLE/__main__.py …` work; the latter spares the interpreter
runpy and what that imports, 8 ms of CPU on 3.11 and 20 ms on 3.9.

The modules that every worker needs come out of one file, `modules-<bytecode version>.bin`, which
the first worker writes into the bundle: looking for 25 files and reading them took a tenth of a
worker's start. It is a cache as .pyc files are, of those that lie beside it.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER, spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType

_PACKAGE_FILE = "/__init__.py"


def load(path: str) -> bool:
    """Run the modules in the file, in the order in which they need each other; whether it could."""
    try:
        with open(path, "rb") as file:
            modules = marshal.loads(file.read())
    except (OSError, EOFError, TypeError, ValueError):
        return False  # not there yet, or damaged: all of it can be imported
    for name, code in modules:
        run(name, code)
    return True


def run(name: str, code: CodeType) -> None:
    """Make a module of its code, as the import system would."""
    path = code.co_filename
    folders = [path[: -len(_PACKAGE_FILE)]] if path.endswith(_PACKAGE_FILE) else None
    spec = spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None:
        raise ImportError(f"{path} is no module")
    module = type(sys)(name)
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__package__ = spec.parent
    module.__file__ = path
    if folders:
        module.__path__ = folders
    sys.modules[name] = module
    exec(code, module.__dict__)
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def record(path: str) -> None:
    """Import the worker, and write what that ran: each module stands behind those it needs."""
    modules = []

    def watch(frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        if event == "return" and code.co_name == "<module>" and code.co_filename.startswith(bundle):
            modules.append((frame.f_globals["__name__"], code))

    sys.setprofile(watch)
    import buntime.worker.main  # noqa: F401  # for what it brings

    sys.setprofile(None)
    fresh = f"{path}-{posix.getpid()}"
    try:
        with open(fresh, "wb") as file:
            file.write(marshal.dumps(modules))
        posix.rename(fresh, path)
    except OSError:
        return  # the bundle cannot be written by this user: the next one imports as well


bundle = __file__.rpartition("/")[0]
if bundle not in sys.path:
    sys.path.insert(0, bundle)
cache = f"{bundle}/modules-{MAGIC_NUMBER.hex()}.bin"
if not load(cache):
    record(cache)

from buntime.worker.main import main  # noqa: E402  # found by the lines above

main(sys.argv)
