"""What is tested: a folder with an app, or an object that is one, ready to be loaded."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from buntime.core.apps.app import App, Fault
from buntime.core.apps.environment import worker_environment
from buntime.core.apps.manifest import Manifest, default_manifest, parse_manifest, to_config
from buntime.core.apps.versions import is_version, select
from buntime.server.apps.appfolder import AppFolder, holds_app, list_folders
from buntime.testing.errors import AppNotLoaded
from buntime.testing.place import Place
from buntime.worker.appkind import what_is
from buntime.worker.callables import is_async, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from buntime.wire import Message

BODY_MAX_BYTES = 10 * 1024 * 1024  # as the runtime's own default
MESSAGE_MAX_BYTES = 16 * 1024 * 1024  # the same
_STAYS_S = 3600  # the `ttl` of an app without a folder: several threads answer


class Subject:
    """An app that can be loaded; `app` is None if an object was given."""

    def __init__(self, find: Callable[[], ModuleType], init: Message, app: App | None) -> None:
        self.find = find
        self.init = init
        self.app = app
        self.place = Place(None, (), {})  # while it is loaded, one of its own

    @property
    def manifest(self) -> Manifest:
        """Its settings, the defaults if it has no file."""
        return default_manifest(BODY_MAX_BYTES) if self.app is None else self.app.manifest

    @contextlib.contextmanager
    def surroundings(self, env: Mapping[str, str], base: str) -> Iterator[Place]:
        """The environment, the current folder and the import path that an app of a folder has.

        At the end everything is restored, and the modules from the folder are forgotten.
        """
        with contextlib.ExitStack() as stack:
            app, roots = self.app, tuple[str, ...]()
            if app is not None:
                data = {}
                if app.manifest.data:
                    data = {"APP_DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory())}
                env = {**_environment(app, base, data), **env}
                roots = app.import_roots
            self.place = Place(app.dir if app is not None else None, roots, env)
            self.place.enter()
            stack.callback(self.place.leave)
            yield self.place


def subject_of(given: Any, websocket: Any = None) -> Subject:
    """A folder (str or Path), a module, a function, a WSGI or ASGI app, or a dict of routes.

    Raises AppNotLoaded.
    """
    if isinstance(given, str | os.PathLike):
        if websocket is not None:
            raise TypeError("`websocket` goes with an object; a folder's app has its own")
        return _of_folder(Path(given))
    manifest = default_manifest(BODY_MAX_BYTES)
    config = {**to_config(manifest), "ttl": _STAYS_S}
    init = {"entrypoint": "the app", "config": config, **_of_manifest(manifest)}
    module = given if isinstance(given, ModuleType) else _module_of(given, websocket)
    return Subject(lambda: module, init, None)


def _of_folder(path: Path) -> Subject:
    app = _found(path.absolute(), str(path))
    init = {
        "name": app.name,
        "version": app.version,
        "dir": str(app.dir),
        "entrypoint": app.entrypoint,
        "serves": app.serves,
        "config": to_config(app.manifest),
        **_of_manifest(app.manifest),
    }
    subject = Subject(lambda: subject.place.load(app.entrypoint, app.import_roots), init, app)
    return subject


def _found(path: Path, shown: str) -> App:
    """The app in a folder, or the newest of the versions in it. Raises AppNotLoaded."""
    if not path.is_dir():
        raise AppNotLoaded(f"{shown}: there is no such folder in {os.getcwd()}")
    named, version = path, None
    if is_version(path.name) and not holds_app(path.parent):
        named, version = path.parent, path.name
    elif not holds_app(path):
        version = select(list_folders(path)[0], None)
        path = path / version if version else path
    name, _, beside = named.name.partition("@")
    if named.parent.name.startswith("@"):
        name = f"{named.parent.name}/{name}"
    folder = AppFolder(name, version or beside or None, path, _parse)
    folder.look()
    app = folder.found
    if not isinstance(app, App):
        raise AppNotLoaded(app.error if isinstance(app, Fault) else f"{shown}: there is no app")
    return app


def _parse(
    _name: str, _version: str | None, source: Path, text: bytes | None, _by_api: bool
) -> Manifest:
    if text is None:
        return default_manifest(BODY_MAX_BYTES)
    path, most = str(source), sys.maxsize
    return parse_manifest(text, path=path, body_default=BODY_MAX_BYTES, body_max=most)[0]


def _of_manifest(manifest: Manifest) -> Message:
    return {
        "concurrency": manifest.concurrency,
        "message_max": MESSAGE_MAX_BYTES,
    }


def _module_of(given: Any, websocket: Any) -> ModuleType:
    """A module that serves an object, under the name that its kind has in an app's module."""
    module = ModuleType("app_under_test")
    if websocket is not None:
        module.websocket = websocket  # type: ignore[attr-defined]  # what an app's module has
    if isinstance(given, dict):
        module.routes = given  # type: ignore[attr-defined]  # the same
    elif given is None and websocket is not None:
        pass
    elif not callable(given):
        raise AppNotLoaded(
            f"{what_is(given)} is not an app; give a folder, a fetch function, a WSGI or ASGI "
            "app, a dict of routes, or a module"
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


def _environment(app: App, base: str, own: Mapping[str, str]) -> dict[str, str]:
    """The variables that the runtime gives the app in addition to those of this process."""
    env, _ = worker_environment(
        app_dir=str(app.dir),
        base=base,
        entrypoint=app.entrypoint,
        config_json=json.dumps(to_config(app.manifest)),
        node_env="test",
        inherited={},
        manifest_env=app.manifest.env,
        own=own,
    )
    return {**env, "WORKER_ID": "w1"}
