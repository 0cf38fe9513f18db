"""What is tested: a folder with an app, or an object that is one, made ready to be loaded."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from buntime.core.apps.app import App, Fault
from buntime.core.apps.manifest import Manifest, default_manifest, parse_manifest, to_config
from buntime.server.apps.appfolder import AppFolder
from buntime.testing.errors import AppNotLoaded
from buntime.worker.appkind import what_is
from buntime.worker.callables import is_async, shape_of
from buntime.worker.entrypoint import import_entrypoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from buntime.wire import Message

BODY_MAX_BYTES = 10 * 1024 * 1024  # as the runtime's own default
MESSAGE_MAX_BYTES = 1024 * 1024
_STAYS_S = 3600  # a `ttl` of 0 would have the engine answer one request


class Subject:
    """An app that can be loaded; `app` is None where an object was given."""

    def __init__(self, find: Callable[[], ModuleType], init: Message, app: App | None) -> None:
        self.find = find
        self.init = init
        self.app = app

    @property
    def manifest(self) -> Manifest:
        """Its settings, the default ones where it has no file."""
        return default_manifest(BODY_MAX_BYTES) if self.app is None else self.app.manifest

    @contextlib.contextmanager
    def surroundings(self, env: Mapping[str, str], base: str) -> Iterator[None]:
        """The environment, the current folder and the import path that an app of a folder has.

        At the end all is as before, and the modules that came from the folder are forgotten.
        """
        with contextlib.ExitStack() as stack:
            if self.app is None:
                stack.enter_context(_environment(env))
            else:
                data = {}
                if self.app.manifest.data:
                    data = {"APP_DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory())}
                told = {"APP_DIR": str(self.app.dir), "APP_BASE": base, **data}
                stack.enter_context(_environment({**told, **self.app.manifest.env, **env}))
                stack.enter_context(_current_folder(self.app.dir))
                stack.enter_context(_import_path(self.app))
            yield


def subject_of(given: Any, websocket: Any = None) -> Subject:
    """A folder (str or Path), a module, a function, a WSGI or ASGI app, or a dict of routes.

    Raises AppNotLoaded.
    """
    if isinstance(given, str | os.PathLike):
        if websocket is not None:
            raise TypeError("`websocket` goes with an object; a folder's app has its own")
        return _of_folder(Path(given))
    init = {"entrypoint": "the app", **_of_manifest(default_manifest(BODY_MAX_BYTES))}
    module = given if isinstance(given, ModuleType) else _module_of(given, websocket)
    return Subject(lambda: module, init, None)


def _of_folder(path: Path) -> Subject:
    name, _, version = path.absolute().name.partition("@")
    folder = AppFolder(name, version or None, path.absolute(), _parse)
    folder.look()
    app = folder.found
    if app is None:
        raise AppNotLoaded(f"{path}: there is no such folder")
    if isinstance(app, Fault):
        raise AppNotLoaded(app.error)
    init = {
        "name": app.name,
        "version": app.version,
        "dir": str(app.dir),
        "entrypoint": app.entrypoint,
        "serves": app.serves,
        **_of_manifest(app.manifest),
    }
    return Subject(lambda: _imported(app), init, app)


def _parse(
    _name: str, _version: str | None, source: Path, text: bytes | None, _by_api: bool
) -> Manifest:
    if text is None:
        return default_manifest(BODY_MAX_BYTES)
    path, most = str(source), sys.maxsize
    return parse_manifest(text, path=path, body_default=BODY_MAX_BYTES, body_max=most)[0]


def _of_manifest(manifest: Manifest) -> Message:
    config = to_config(manifest)
    return {
        "config": {**config, "ttl": config["ttl"] or _STAYS_S},
        "concurrency": manifest.concurrency,
        "message_max": MESSAGE_MAX_BYTES,
    }


def _module_of(given: Any, websocket: Any) -> ModuleType:
    """A module that serves an object, by the name that its kind has in an app's module."""
    module = ModuleType("app_under_test")
    if websocket is not None:
        module.websocket = websocket  # type: ignore[attr-defined]  # what an app's module has
    if isinstance(given, dict):
        module.routes = given  # type: ignore[attr-defined]  # the same
    elif given is None and websocket is not None:
        pass
    elif not callable(given):
        raise AppNotLoaded(
            f"{what_is(given)} is no app; give a folder, a fetch function, a WSGI or ASGI app, a "
            "dict of routes, or a module"
        )
    elif _takes_a_request(given):
        module.fetch = given  # type: ignore[attr-defined]  # the same
    else:
        module.app = given  # type: ignore[attr-defined]  # the same
    return module


def _takes_a_request(given: Any) -> bool:
    """Whether it is called with one argument: a fetch function."""
    shape = shape_of(given)
    if shape is None or not shape.takes(1):
        return False
    return not shape.more or not (shape.takes(2) or (is_async(given) and shape.takes(3)))


def _imported(app: App) -> ModuleType:
    """The module of a folder's app, the one that the test has imported where it has."""
    path = str(app.dir / app.entrypoint)
    for module in [*sys.modules.values()]:
        if getattr(module, "__file__", None) == path and module.__name__ != "__main__":
            return module
    return import_entrypoint(str(app.dir), app.entrypoint, (), app.import_roots)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _current_folder(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _import_path(app: App) -> Iterator[None]:
    own = [app.dir, *(app.dir / root for root in app.import_roots), app.dir / "vendor"]
    entries = [str(entry) for entry in own if entry.is_dir()]
    known = {*sys.modules}
    sys.path[:0] = entries
    try:
        yield
    finally:
        for entry in entries:
            sys.path.remove(entry)
        for name in {*sys.modules} - known:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(f"{app.dir}/"):
                del sys.modules[name]
