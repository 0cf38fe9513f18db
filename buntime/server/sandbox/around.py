"""Finds what surrounds an app: folders of apps, secrets, its own folders, its Python."""

import os
from collections.abc import Iterable, Mapping

from buntime.core.access.paths import is_within
from buntime.core.apps.app import App
from buntime.core.sandbox.plan import SYSTEM_READ, SYSTEM_RUN, Surroundings
from buntime.core.settings.live import LiveSettings
from buntime.server.defence.configreading import config_path
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.listing import Listing, existing

# Variables of the runtime's environment that say where secrets are.
_SECRET_VARIABLES = (
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_TLS_KEY",
)


class Around:
    """Reads the current settings, and folders through a listing."""

    def __init__(self, live: LiveSettings, environ: Mapping[str, str]) -> None:
        self._live = live
        self._environ = environ

    def named(self) -> tuple[str, ...]:
        """The paths that the current settings name, and on which the surroundings depend."""
        settings = self._live.now
        return (*settings.worker_dirs, *settings.plugin_dirs, *self._secrets())

    def surroundings(self, listing: Listing, scratch: tuple[str, ...]) -> Surroundings:
        """What surrounds every app; `scratch` has the places of their temporary folders, if these
        are not among the secrets."""
        folders = self.app_folders()
        scopes = [
            os.path.join(folder, name)
            for folder in folders
            for name in listing.names(folder)
            if name.startswith("@")
        ]
        targets = [path for folder in (*folders, *scopes) for path in listing.targets(folder)]
        return Surroundings(
            apps=(*folders, *targets),
            secrets=tuple(map(os.path.realpath, self._secrets())),
            scratch=scratch,
            run=existing(SYSTEM_RUN),
            read=existing(SYSTEM_READ),
        )

    def app_folders(self) -> list[str]:
        """The folders that hold apps or plugins, links resolved."""
        settings = self._live.now
        folders = map(os.path.realpath, (*settings.worker_dirs, *settings.plugin_dirs))
        return list(dict.fromkeys(folders))

    def versions(self, name: str, listing: Listing) -> list[str]:
        """`apps/shop`, which may hold versions, and `apps/shop@1.0.0`, links resolved."""
        scope, _, last = name.rpartition("/")
        folders = [os.path.join(folder, scope) for folder in self._live.now.worker_dirs]
        return [
            os.path.realpath(os.path.join(folder, entry))
            for folder in folders
            for entry in listing.names(os.path.realpath(folder))
            if entry == last or entry.startswith(f"{last}@")
        ]

    def is_own(self, app: App, executable: str) -> bool:
        """Whether a Python is in a folder of apps, or where this app may write."""
        places = (str(app.dir), *self.app_folders(), *self._live.now.worker_dirs, *wanted(app))
        paths = (executable, os.path.realpath(executable))
        return any(is_within(path, place) for path in paths for place in places)

    @property
    def home(self) -> str:
        return self._environ.get("HOME", "/")

    @property
    def path(self) -> str:
        """Where the runtime looks for programs."""
        return self._environ.get("PATH", os.defpath)

    def named_by(self, variables: Iterable[str]) -> list[str]:
        """The paths in variables of the runtime's environment."""
        return [path for name in variables if (path := self._environ.get(name, "")).startswith("/")]

    def _secrets(self) -> Iterable[str]:
        settings = self._live.now
        yield from (settings.state_dir, settings.env_file, config_path(settings))
        if settings.master_key_file:
            yield settings.master_key_file
        if settings.keys_file:
            yield settings.keys_file
        if settings.secrets_dir:
            yield settings.secrets_dir
        if settings.log_file:
            yield settings.log_file
            for number in range(1, settings.log_file_count + 1):
                yield f"{settings.log_file}.{number}"
        yield from (self._environ[name] for name in _SECRET_VARIABLES if self._environ.get(name))


def wanted(app: App) -> tuple[str, ...]:
    """The paths of `write`, links resolved."""
    return tuple(os.path.realpath(os.path.join(app.dir, path)) for path in app.manifest.write)


def python_paths(app: App, interpreter: Interpreter, bundle: str) -> tuple[list[str], list[str]]:
    """What a worker needs of its Python, and the worker's code; then what an app says it needs.

    The latter is everything that an app's own Python has reported, and where links in the app's
    folder lead.
    """
    own = interpreter.user.bundle if interpreter.user else bundle
    needed = prefixes(interpreter.executable)
    if interpreter.prefix is not None:
        needed.append(interpreter.prefix)
    needed += [os.path.dirname(interpreter.executable), *interpreter.path]
    if interpreter.is_own:
        return _real([own, *python_roots(app, interpreter.executable)]), _real(needed)
    return _real([*needed, own]), []


def python_roots(app: App, executable: str) -> list[str]:
    """The folder of a Python outside of the app's folder, as named in its manifest."""
    if is_within(executable, str(app.dir)):
        return []
    return [os.path.realpath(os.path.dirname(os.path.dirname(executable)))]


def prefixes(executable: str) -> list[str]:
    """The folders of a Python: where it is, and where its links lead."""
    paths = (executable, os.path.realpath(executable))
    return [os.path.dirname(os.path.dirname(path)) for path in paths]


def _real(paths: Iterable[str]) -> list[str]:
    return sorted({real for real in map(os.path.realpath, paths) if real != "/"})
