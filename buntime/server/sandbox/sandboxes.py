"""The sandbox of each app's workers: what INIT tells them, and which folders are theirs."""

import os
from collections.abc import Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from buntime.core.apps.app import App
from buntime.core.sandbox.kernel import Kernel, acts
from buntime.core.sandbox.order import dropped_capabilities, make_order
from buntime.core.sandbox.plan import (
    SYSTEM_READ,
    SYSTEM_RUN,
    AppPaths,
    Level,
    Surroundings,
    common_paths,
    plan,
)
from buntime.core.sandbox.systemcalls import program
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.listing import Listing, existing
from buntime.server.sandbox.scratch import Scratch
from buntime.wire import Message

_LOOK_S = 1.0  # how often the folders that were listed are looked at
# Variables of the runtime's environment that tell where secrets are.
_SECRET_VARIABLES = (
    "CREDENTIALS_DIRECTORY",
    "RUNTIME_CONFIG",
    "RUNTIME_SECRETS_DIR",
    "RUNTIME_TLS_KEY",
)


class _Basis(NamedTuple):
    """What is the same for all apps, as long as nothing of it changes."""

    around: Surroundings
    listing: Listing
    common: list[str]


class _Made(NamedTuple):
    """The order for an app's workers, and what it was made from."""

    basis: _Basis
    interpreter: Interpreter
    order: Message


class Sandboxes:
    """Makes orders for workers, anew where the folders around have changed."""

    def __init__(
        self,
        kernel: Kernel,
        live: LiveSettings,
        *,
        bundle: str,
        environ: Mapping[str, str],
        warn: Tell,
    ) -> None:
        self.kernel = kernel
        self._live = live
        self._bundle = bundle
        self._environ = environ
        self._warn = warn
        self._warned: set[tuple[str, ...]] = set()
        self._scratch = Scratch(live.now.state_dir, self._on_no_scratch)
        self._program = program(kernel.machine, runtime_pid=os.getpid())
        self._basis: _Basis | None = None
        self._looked_s = 0.0
        self._made: WeakKeyDictionary[App, _Made] = WeakKeyDictionary()
        live.follow(self._forget)

    def __repr__(self) -> str:
        return f"Sandboxes({self.kernel!r}, {len(self._made)} apps)"

    @property
    def acts(self) -> tuple[str, ...]:
        """What a sandbox does here, in words; empty where there can be none."""
        return acts(self.kernel, filters=self.kernel.has_seccomp and bool(self._program))

    def to_json(self) -> dict[str, object]:
        """For `/api/workers`."""
        return {"landlockAbi": self.kernel.abi, "acts": list(self.acts)}

    def close(self) -> None:
        """Remove the apps' temporary folders; no worker may be left."""
        self._scratch.close()

    def level(self, app: App) -> Level:
        """What the app's workers get: "off" where the kernel cannot."""
        return app.manifest.sandbox if self.kernel.is_fit else "off"

    def variables(self, app: App, interpreter: Interpreter) -> dict[str, str]:
        """HOME and TMPDIR of the app's workers; none where they keep those that they have."""
        if self.level(app) == "off":
            return {}
        folder = self._scratch.folder_of(app.name, _identity(interpreter))
        return {} if folder is None else {"HOME": folder, "TMPDIR": folder}

    def order(self, app: App, interpreter: Interpreter, now: float) -> Message | None:
        """What INIT tells a worker of the app to give up; None for nothing."""
        level = self.level(app)
        if level == "off":
            return None
        made = self._made.get(app)
        if made is None or made.basis is not self._look(now) or made.interpreter != interpreter:
            scratch = self._scratch.folder_of(app.name, _identity(interpreter))
            basis = self._look(now)  # the first such folder changes it
            paths = self._paths(app, interpreter, basis.listing, scratch)
            order = self._make(app, interpreter, paths, basis)
            made = self._made[app] = _Made(basis, interpreter, order)
        return made.order

    # What there is around

    def _forget(self, _: Settings) -> None:
        """Other folders may be closed now."""
        self._basis = None

    def _look(self, now: float) -> _Basis:
        if self._basis is not None and now - self._looked_s >= _LOOK_S:
            self._looked_s = now
            if self._basis.listing.has_changed():
                self._basis = None
        if self._basis is not None and self._basis.around.scratch != self._scratch.roots:
            self._basis = None
        if self._basis is None:
            listing = Listing(self._on_crowded)
            around = self._surroundings(listing)
            self._basis = _Basis(around, listing, common_paths(around, listing.entries))
        return self._basis

    def _surroundings(self, listing: Listing) -> Surroundings:
        settings = self._live.now
        folders = list(map(os.path.realpath, settings.worker_dirs))
        scopes = [
            os.path.join(folder, name)
            for folder in folders
            for name in listing.names(folder)
            if name.startswith("@")
        ]
        targets = [path for folder in (*folders, *scopes) for path in listing.targets(folder)]
        secrets = [settings.state_dir, settings.env_file]
        if settings.master_key_file:
            secrets.append(settings.master_key_file)
        if settings.log_file:
            older = range(1, settings.log_file_count + 1)
            secrets += [settings.log_file, *(f"{settings.log_file}.{number}" for number in older)]
        secrets += [self._environ[name] for name in _SECRET_VARIABLES if self._environ.get(name)]
        return Surroundings(
            apps=(*folders, *targets),
            secrets=tuple(map(os.path.realpath, secrets)),
            scratch=self._scratch.roots,
            run=existing(SYSTEM_RUN),
            read=existing(SYSTEM_READ),
        )

    # The order of an app

    def _make(self, app: App, interpreter: Interpreter, paths: AppPaths, basis: _Basis) -> Message:
        level = self.level(app)
        made = plan(level, paths, basis.around, basis.listing.entries, basis.common)
        if made.denied:
            self._warn_once(
                "sandbox.write_denied",
                "paths of `write` are withheld: they hold, or lie in, what is not the app's",
                app=app.key,
                paths=list(made.denied),
            )
        user = interpreter.user
        starts_as_root = os.geteuid() == 0 and not (user and user.is_from_start)
        return make_order(
            level,
            made.rules,
            self.kernel,
            program=self._program,
            capabilities=dropped_capabilities(
                is_root=starts_as_root, becomes_user=user is not None
            ),
        )

    def _paths(
        self, app: App, interpreter: Interpreter, listing: Listing, scratch: str | None
    ) -> AppPaths:
        wanted = tuple(os.path.realpath(os.path.join(app.dir, path)) for path in app.manifest.write)
        missing = [path for path in wanted if not os.path.exists(path)]
        if missing:
            self._warn_once(
                "sandbox.write_missing",
                "paths of `write` do not exist, so that workers cannot write there",
                app=app.key,
                paths=missing,
            )
        data = os.path.join(os.path.realpath(self._live.now.state_dir), "data", app.name)
        return AppPaths(
            folder=str(app.dir),
            versions=tuple(self._versions(app.name, listing)),
            kept=tuple(filter(None, (data, scratch))),
            wanted=wanted,
            python=tuple(_python_paths(interpreter, self._bundle)),
        )

    def _versions(self, name: str, listing: Listing) -> list[str]:
        """`apps/shop`, which may hold versions, and `apps/shop@1.0.0`, links resolved."""
        scope, _, last = name.rpartition("/")
        folders = [os.path.join(folder, scope) for folder in self._live.now.worker_dirs]
        return [
            os.path.realpath(os.path.join(folder, entry))
            for folder in folders
            for entry in listing.names(os.path.realpath(folder))
            if entry == last or entry.startswith(f"{last}@")
        ]

    # What goes wrong

    def _on_no_scratch(self, folder: str, reason: str) -> None:
        self._warn_once(
            "sandbox.scratch_failed",
            "cannot keep temporary files of apps in a folder",
            folder=folder,
            reason=reason,
        )

    def _on_crowded(self, folder: str, count: int) -> None:
        self._warn_once(
            "sandbox.crowded",
            "apps can read nothing in a folder: it has too many entries to be listed, and holds "
            "what is not theirs",
            folder=folder,
            entries=count,
        )

    def _warn_once(self, event: str, message: str, **fields: object) -> None:
        once = (event, *map(str, fields.values()))
        if once not in self._warned:
            self._warned.add(once)
            self._warn(event, message, **fields)


def _identity(interpreter: Interpreter) -> Identity | None:
    return interpreter.user and interpreter.user.identity


def _python_paths(interpreter: Interpreter, bundle: str) -> list[str]:
    """What a worker needs of its Python: the real one, its environment, packages, our code."""
    executable = interpreter.executable
    own = interpreter.user.bundle if interpreter.user else bundle
    prefixes = [os.path.dirname(os.path.dirname(os.path.realpath(executable)))]
    if interpreter.prefix is not None:
        prefixes.append(interpreter.prefix)
    paths = [*prefixes, os.path.dirname(executable), *interpreter.path, own]
    return sorted({real for real in map(os.path.realpath, paths) if real != "/"})
