"""Loads the modules that every worker needs from one file, and starts the worker.

That file, `modules-<bytecode version>.bin`, is written into the bundle by the first worker:
finding and reading 25 files took a tenth of a worker's start. Like .pyc files it is a cache, of the
modules beside it. This module's own code comes first in it.

Its annotations are in quotes, because `__future__` is a module like others, and would be searched
for.
"""

import gc
import marshal
import posix
import sys
from _frozen_importlib_external import spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType, ModuleType
    from typing import NoReturn

    Modules = list[tuple[str, CodeType]]

_PACKAGE_FILE = "/__init__.py"


def start(bundle: str, cache: str, own_code: "CodeType", modules: "Modules | None") -> "NoReturn":
    """Run a worker; `modules` is what `cache` holds, in the order in which they need each other.

    None if nothing could be read from it: then everything is imported, and the file written.
    """
    gc.disable()  # what is made here stays; collecting garbage in it took 6 % of a worker's start
    if bundle not in sys.path:
        sys.path.append(bundle)  # last, because what is searched for now is in the standard library
    if modules is None:
        _write(cache, own_code, _import_all(bundle))
    else:
        _run_all(modules)
    gc.freeze()
    gc.enable()
    from buntime.worker.main import main  # because `bundle` is on the path only now

    main(sys.argv)


def _run_all(modules: "Modules") -> None:
    kind = type(sys)
    if sys.version_info < (3, 12):
        # `from x import y` asks whether x has a `__path__`, and a module that has none makes an
        # error for that, with its message, which took 2 % of a worker's start. Objects do not.
        kind = type("QuickModule", (kind,), {"__getattribute__": object.__getattribute__})
    # All import annotations from it, which are not needed once compiled.
    future = sys.modules["__future__"] = kind("__future__")
    future.__dict__["annotations"] = None
    made = [_run(name, code, kind) for name, code in modules]
    for module in made:
        module.__class__ = type(sys)
    del sys.modules["__future__"]


def _run(name: str, code: "CodeType", kind: "type[ModuleType]") -> "ModuleType":
    """Make a module from its code, as the import system would."""
    path = code.co_filename
    folders = [path[: -len(_PACKAGE_FILE)]] if path.endswith(_PACKAGE_FILE) else None
    spec = spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None:
        raise ImportError(f"{path} is not a module")
    module = kind(name)
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
    return module


def _import_all(bundle: str) -> "Modules":
    """Import the worker; returns the modules that ran: each one after those it needs."""
    modules = []

    def watch(frame: "FrameType", event: str, _arg: object) -> None:
        code = frame.f_code
        if event == "return" and code.co_name == "<module>" and code.co_filename.startswith(bundle):
            modules.append((frame.f_globals["__name__"], code))

    sys.setprofile(watch)
    import buntime.worker.main  # noqa: F401  # for what it brings

    sys.setprofile(None)
    return modules


def _write(cache: str, own_code: "CodeType", modules: "Modules") -> None:
    fresh = f"{cache}-{posix.getpid()}"
    try:
        with open(fresh, "wb") as file:
            file.write(marshal.dumps((own_code, modules)))
        posix.rename(fresh, cache)
    except OSError:
        return  # this user cannot write the bundle: the next worker imports as well
