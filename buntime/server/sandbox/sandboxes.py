"""The sandbox of each app's workers: what INIT tells them, and which folders they own."""

import contextlib
import functools
import os
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from buntime.core.access.paths import is_within
from buntime.core.apps.app import App
from buntime.core.apps.grants import data_holder_of
from buntime.core.sandbox.kernel import Kernel, acts
from buntime.core.sandbox.order import (
    at_start,
    dropped_capabilities,
    make_order,
    preparation,
    when_begun,
    when_prepared,
)
from buntime.core.sandbox.plan import AppPaths, Level, Rules, Surroundings, common_rules, plan
from buntime.core.sandbox.systemcalls import is_known, program
from buntime.core.settings.live import LiveSettings
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.probe import Interpreter
from buntime.server.sandbox.around import Around, python_paths, wanted
from buntime.server.sandbox.listing import Listing
from buntime.server.sandbox.scratch import Scratch
from buntime.server.sandbox.starts import Starts
from buntime.server.state.datafolders import DataFolders, NoData
from buntime.server.state.statefolder import StateFolder
from buntime.wire import Message, encode

_NOWHERE = "/dev/null/"  # nothing lies there
_LOOK_S = 1.0  # how often the listed folders are checked


class _Basis(NamedTuple):
    """What is the same for all apps, until something of it changes."""

    number: int
    around: Surroundings
    listing: Listing
    common: Rules  # of the level "standard"
    preparation: bytes  # PREPARE


class _Made(NamedTuple):
    """The order for an app's workers, and what it was made from."""

    basis: _Basis
    interpreter: Interpreter
    order: Message  # for a worker that has done nothing yet
    when_prepared: Message
    when_begun: Message  # by this basis


class Sandboxes:
    """Makes orders for workers, again when the surrounding folders have changed."""

    def __init__(
        self,
        kernel: Kernel,
        live: LiveSettings,
        *,
        bundle: str,
        environ: Mapping[str, str],
        warn: Tell,
        state: StateFolder | None = None,
        carried: str = "",
        runtime_pid: int | None = None,
    ) -> None:
        """`carried` is the folder of the apps and plugins that come with the runtime, which must
        not change themselves.

        `runtime_pid` is the runtime, None for this process: workers do not change its scheduling.
        """
        self.kernel = kernel
        self._carried = os.path.realpath(carried) if carried else _NOWHERE
        self._live = live
        self._around = Around(live, environ)
        self._bundle = bundle
        self._warn = warn
        self._warned: set[tuple[str, ...]] = set()
        kept = live.now.state_dir if live.now.has_state else None
        self._scratch = Scratch(kept, self._on_no_scratch)
        self._data = DataFolders(state or StateFolder.of(live.now))
        self._runtime_pid = runtime_pid or os.getpid()
        self.starts = Starts(kernel, self._around, self._scratch, lambda: self._program)
        self._basis: _Basis | None = None
        self._last_basis = 0
        self._looked_s = 0.0
        self._made: WeakKeyDictionary[App, _Made] = WeakKeyDictionary()
        self._named = self._around.named()
        live.follow(self._adopt)

    def __repr__(self) -> str:
        return f"Sandboxes({self.kernel!r}, {len(self._made)} apps)"

    @property
    def acts(self) -> tuple[str, ...]:
        """What a sandbox does here, in words; "" if none is possible."""
        return acts(self.kernel, filters=self.kernel.has_seccomp and is_known(self.kernel.machine))

    @functools.cached_property
    def _program(self) -> bytes:
        """The filter of system calls; made (1 ms) for the first order, which no start waits for."""
        return program(self.kernel.machine, runtime_pid=self._runtime_pid)

    def to_json(self) -> dict[str, object]:
        """For `/api/workers`."""
        return {"landlockAbi": self.kernel.abi, "acts": list(self.acts)}

    def keep_on_exec(self) -> None:
        """Keep the temporary folders as long as the program that this process becomes, and its
        children.

        They are removed by whatever looks for unused ones next: a runtime, or another such process.
        """
        self._scratch.keep_on_exec()

    def close(self) -> None:
        """Remove the apps' temporary folders; no worker may be left."""
        self._scratch.close()

    def data_folder(self, name: str, version: str | None) -> str:
        """Where a version has its data, whether that exists or not."""
        return self._data.path_of(data_holder_of(name, version))

    def level(self, app: App) -> Level:
        """What the app's workers get: "off" where the kernel cannot."""
        return app.manifest.sandbox if self.kernel.is_fit else "off"

    def variables(self, app: App, interpreter: Interpreter) -> dict[str, str]:
        """Variables that tell the app's workers their folders: APP_DATA_DIR, and HOME and TMPDIR
        unless they keep those they have. The folders are created.

        Raises NoData.
        """
        found = {}
        user = _identity(interpreter)
        if app.manifest.data:
            holder = data_holder_of(app.name, app.version)
            found["APP_DATA_DIR"] = self._data.ready(holder, user)
        folder = None if self.level(app) == "off" else self._scratch.folder_of(app.name, user)
        return found if folder is None else {**found, "HOME": folder, "TMPDIR": folder}

    def preparation(self, now: float) -> tuple[bytes, int]:
        """PREPARE for a worker with a sandbox, encoded, and the number of the basis that it was
        made from."""
        basis = self._look(now)
        return basis.preparation, basis.number

    def order(
        self, app: App, interpreter: Interpreter, now: float, prepared: int | None = None
    ) -> Message | None:
        """What INIT tells a worker of the app to give up; None for nothing.

        `prepared` is the number of the basis of its PREPARE.
        """
        level = self.level(app)
        if level == "off":
            return None
        made = self._made.get(app)
        if made is None or made.basis is not self._look(now) or made.interpreter != interpreter:
            scratch = self._scratch.folder_of(app.name, _identity(interpreter))
            basis = self._look(now)  # the first such folder may change it
            paths = self._paths(app, interpreter, basis.listing, scratch)
            made = self._made[app] = self._make(app, interpreter, paths, basis)
        if prepared is None:
            return made.order
        return made.when_begun if prepared == made.basis.number else made.when_prepared

    def order_at_start(self, app: App, interpreter: Interpreter, now: float) -> Message | None:
        """What a thread gives up before it starts a worker whose Python is the app's own.

        The worker gives up the same again at INIT, and also write access to its /proc/self.
        """
        if app.manifest.data:
            # There can be no rule for what does not exist yet.
            with contextlib.suppress(NoData):  # reported when it loads the app
                holder = data_holder_of(app.name, app.version)
                self._data.ready(holder, _identity(interpreter))
        order = self.order(app, interpreter, now)
        if order is None:
            return None
        becomes_user = interpreter.user is not None
        return at_start(order, is_root=os.geteuid() == 0, becomes_user=becomes_user)

    # What there is around

    def _adopt(self, _: Settings) -> None:
        """Look again if the settings now name other folders: the workers' spares have prepared for
        what was there, and what they have done cannot be used with another basis."""
        named = self._around.named()
        if named != self._named:
            self._named, self._basis = named, None

    def _look(self, now: float) -> _Basis:
        if self._basis is not None and now - self._looked_s >= _LOOK_S:
            self._looked_s = now
            if self._basis.listing.has_changed():
                self._basis = None
        if self._basis is not None and self._basis.around.scratch != self._scratch.elsewhere:
            self._basis = None
        if self._basis is None:
            listing = Listing(self._on_crowded)
            around = self._around.surroundings(listing, self._scratch.elsewhere)
            common = common_rules("standard", around, listing.entries)
            encoded = encode(preparation(common, self.kernel, program=self._program))
            self._last_basis += 1
            self._looked_s = now
            self._basis = _Basis(self._last_basis, around, listing, common, encoded)
        return self._basis

    # The order of an app

    def _make(self, app: App, interpreter: Interpreter, paths: AppPaths, basis: _Basis) -> _Made:
        level = self.level(app)
        is_standard = level == "standard"
        common = basis.common if is_standard else None
        made = plan(level, paths, basis.around, basis.listing.entries, common)
        if made.denied:
            self._warn_once(
                "sandbox.write_denied",
                "paths of `write` are ignored: they contain, or are in, what is not the app's",
                app=app.key,
                paths=list(made.denied),
            )
        user = interpreter.user
        starts_as_root = os.geteuid() == 0 and not (user and user.is_from_start)
        order = make_order(
            level,
            made.rules,
            self.kernel,
            program=self._program,
            capabilities=dropped_capabilities(
                is_root=starts_as_root, becomes_user=user is not None
            ),
        )
        prepared = when_prepared(order)
        begun = when_begun(order, made.own, self.kernel) if is_standard else prepared
        return _Made(basis, interpreter, order, prepared, begun)

    def _paths(
        self, app: App, interpreter: Interpreter, listing: Listing, scratch: str | None
    ) -> AppPaths:
        writes = wanted(app)
        missing = [path for path in writes if not os.path.exists(path)]
        if missing:
            self._warn_once(
                "sandbox.write_missing",
                "paths of `write` do not exist, so workers cannot write there",
                app=app.key,
                paths=missing,
            )
        python, reported = python_paths(app, interpreter, self._bundle)
        holder = data_holder_of(app.name, app.version)
        data = self._data.path_of(holder) if app.manifest.data else None
        return AppPaths(
            folder=str(app.dir),
            versions=tuple(self._around.versions(app.name, listing)),
            kept=tuple(filter(None, (data, scratch))),
            wanted=writes,
            python=tuple(python),
            told=tuple(reported),
            is_shipped=is_within(str(app.dir), self._carried),
        )

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
            "apps can read nothing in a folder: it has too many entries to be listed, and contains "
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
