"""Installs plugins from archives, while the runtime serves.

    upload ─> unpack, check ─> packages ─> the link leads to it ─> it serves ─┬─> it counts
    (threads)  (threads)       (pip)       (one rename)                       └─> the link as before

If an installation is interrupted before it counts, the next start switches its link back. The
previous generation serves meanwhile, and keeps serving if the new one fails. One change of a plugin
at a time.

Used on the loop's thread. Imported when operators ask for a page.
"""

import contextlib
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buntime.core.config.effect import effect_of
from buntime.core.deploys.members import Bounds
from buntime.core.deploys.names import Release
from buntime.core.deploys.steps import Step
from buntime.core.errors import ClientFault, HttpError, ManifestError, ServerFault
from buntime.core.plugins.plan import owner_of
from buntime.core.values.tuples import NamedTuple
from buntime.server.deploys.course import Ask, Steps, Turns, after, holding, in_thread, run
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.records import ReleaseRecord, write_files
from buntime.server.plugins.folders import Known
from buntime.server.plugins.found import Found, make_found
from buntime.server.plugins.installground import Around, Leftovers, left_out, refuse_bundled
from buntime.server.plugins.pluginstore import VERSION, UnfinishedPlugin
from buntime.server.plugins.report import state_of

if TYPE_CHECKING:
    from buntime.server.deploys.unpacking import Unpacked
    from buntime.server.deploys.upload import Upload

_TRY_S = 300.0  # limit for what was installed to serve, whatever the delay
_TICK_S = 0.03
_WATCH_S = 0.25
_UNPACKED_FACTOR = 4  # size of an unpacked archive, in multiples of the largest archive
_DRAINING = ServerFault(503, "draining", "the runtime is shutting down; try again later")
_OURS = ServerFault(500, "internal", "the runtime failed; its log says more")


class Wish(NamedTuple):
    """Options of an installation.

    `check` raises ClientFault if the plugin has changed since the caller saw it.
    """

    check: Callable[[], None]
    is_dry_run: bool = False
    is_off: bool = False  # it must not run until somebody enables it
    by: str = ""


class Installer:
    """All installations."""

    def __init__(self, around: Around, leftovers: Leftovers) -> None:
        self._around = around
        self._leftovers = leftovers
        self.loop = around.service.loop
        self.place = around.place
        self.uploads = Turns(at_once=2)
        self._log = around.service.log
        self._plugins = around.plugins
        self._turns = leftovers.turns
        self._running: set[Deploy] = set()
        self._begun = 0

    def __repr__(self) -> str:
        return f"Installer({self.place}, {len(self._running)} under way)"

    def begin(self, name: str, by: str, *, is_dry_run: bool) -> Deploy:
        """Begin an installation, which is listed from now on."""
        self._begun += 1
        number = f"plugin-{int(time.time()):x}-{self._begun}"
        return Deploy(number, "install", owner_of(name), "", by, is_dry_run=is_dry_run)

    def install(self, deploy: Deploy, name: str, upload: "Upload", wish: Wish) -> None:
        """Carry it out, with the uploaded archive; the upload is closed at the end."""
        run(self._guarded(deploy, name, self._install(deploy, name, upload, wish), upload.close))

    # Whatever becomes of it

    def _guarded(self, deploy: Deploy, name: str, steps: Steps, close: Callable[[], None]) -> Steps:
        """One at a time for each plugin; failures are reported."""
        self._running.add(deploy)
        self._watch()
        yield self._turns.take(name)
        try:
            with contextlib.ExitStack() as held:
                held.callback(close)
                store = self.place.open()
                yield from holding(self.loop, store.turn(name), steps)
        except Exception as exc:  # noqa: BLE001  # told as its end
            self._fail(deploy, exc)
        finally:
            self._running.discard(deploy)
            self._turns.leave(name)
            if not deploy.is_over:
                deploy.fail(_OURS, log=[])

    def _watch(self) -> None:
        """A runtime that ends does not wait for them: interrupted ones are undone later."""
        if self._around.service.is_draining:
            for deploy in tuple(self._running):
                self._fail(deploy, _DRAINING)
        elif self._running:
            self.loop.call_later(_WATCH_S, self._watch)

    def _fail(self, deploy: Deploy, exc: Exception) -> None:
        if deploy.is_over:
            return
        error = _fault_of(exc)
        deploy.fail(error, log=[])
        self._log.error(
            "plugin.install_failed",
            "plugin was not installed; what was served before is still served",
            plugin=deploy.app.partition(":")[2],
            step=deploy.doing.value,
            error=error.message,
        )
        if error is _OURS:
            raise exc

    # An installation

    def _install(self, deploy: Deploy, name: str, upload: "Upload", wish: Wish) -> Steps:
        store = self.place.open()
        release = Release(name, VERSION, upload.digest)
        deploy.attempt(Step.UNPACKED)
        wish.check()
        refuse_bundled(self._plugins.roster, name)
        yield self._in_thread(lambda: store.refuse_in_the_way(name))
        current = yield self._in_thread(lambda: store.release_at(name, VERSION))
        if current == release.folder:
            deploy.reach(Step.UNCHANGED)
            return
        unfinished = yield self._in_thread(lambda: store.begin(release))
        before = self._plugins.folders.known(name)
        try:
            is_new = yield from self._make(deploy, upload, unfinished, wish)
        except BaseException:
            yield from self._undo(name, unfinished, before)
            raise
        if not is_new:
            yield self._in_thread(unfinished.undo)
            deploy.reach(Step.TRIED)
            return
        self._plugins.folders.expect(name, None)
        deploy.reach(Step.ACTIVE)
        self._log.info("plugin.installed", "plugin was installed", plugin=name,
                       version=deploy.version, by=deploy.by)  # fmt: skip
        self._leftovers.tidy_later(store, name)

    def _make(
        self, deploy: Deploy, upload: "Upload", unfinished: UnfinishedPlugin, wish: Wish
    ) -> Generator[Ask, Any, bool]:
        """From the archive to what serves; False of a dry run."""
        name = unfinished.release.app
        unpacked = yield self._in_thread(lambda: self._unpack(upload, unfinished))
        deploy.reach(Step.UNPACKED, files=len(unpacked.files), bytes=unpacked.size_bytes)
        deploy.attempt(Step.CHECKED)
        folder, at = Path(unfinished.folder), Path(self.place.open().root, name)
        folders = self._plugins.folders
        known = yield self._in_thread(lambda: folders.examine(name, folder, at))
        found = self._check(name, known, wish)
        deploy.version = found.manifest.version if found.manifest else ""
        deploy.reach(Step.CHECKED, version=deploy.version)
        if wish.is_dry_run:
            return False
        yield from self._have_packages(deploy, found)
        deploy.attempt(Step.BOOTED)
        # A plugin starts again if files changed after its start, and file times are coarse.
        yield after(self.loop, _TICK_S)
        record = self._record(deploy, upload, unpacked)
        yield self._in_thread(lambda: _prepare(unfinished, record, unpacked))
        if self._around.service.is_draining:
            raise _DRAINING
        if wish.is_off:  # the file of a plugin that is never installed does no harm
            self._plugins.roster.switches.set(name, enabled=False, by=wish.by)
        folders.expect(name, known)
        yield self._in_thread(unfinished.switch)
        self._plugins.reread(is_requested=False)
        failure = yield self._outcome(name, known)
        if failure:
            raise ClientFault(422, "plugin_failed", failure)
        deploy.reach(Step.BOOTED)
        yield self._in_thread(unfinished.finish)
        return True

    def _undo(self, name: str, unfinished: UnfinishedPlugin, before: Known | None) -> Steps:
        """Restore everything as it was, without restarting what serves."""
        plugins = self._plugins
        life = plugins.roster.lives.get(name)
        if life is not None and life.serving is not None and before is not None:
            life.tried = life.serving.found
        plugins.folders.expect(name, before)
        if before is None:
            plugins.folders.forget(name)
        yield self._in_thread(unfinished.undo)
        yield self._around.outcomes.of_next_look()

    def _unpack(self, upload: "Upload", unfinished: UnfinishedPlugin) -> "Unpacked":
        """In a thread."""
        # tarfile and zipfile take 15 ms.
        from buntime.server.deploys.unpacking import unpack

        bounds = Bounds(unpacked_bytes=_UNPACKED_FACTOR * self._around.live.now.upload_max_bytes)
        return unpack(upload.file, unfinished.folder, bounds, go_on=self._go_on)

    def _go_on(self) -> None:
        """In a thread: when the runtime ends, long operations are ended too."""
        if self._around.service.is_draining:
            raise _DRAINING

    def _check(self, name: str, known: Known, wish: Wish) -> Found:
        """The plugin as it would be found. Raises ClientFault (422) if it could not be started, or
        would keep other plugins from starting."""
        roster, folder = self._plugins.roster, known.folder
        manifest = folder.manifest
        if manifest is None or folder.error:
            raise ClientFault(422, "manifest_invalid", folder.error)
        is_on = not wish.is_off and roster.would_run(name, manifest)
        kept = self._plugins.options.of(name)
        effect = effect_of(roster.config, manifest, os.environ, kept)
        reasons = list(effect.problems) if is_on else []
        reasons += left_out(roster, name, manifest, is_on=is_on)
        if reasons:
            advice = "" if name in roster.found else _OFF_ADVICE
            raise ClientFault(422, "plugin_refused", f"{'; '.join(reasons)}{advice}")
        return make_found(folder, effect, self._around.live.now.env)

    def _have_packages(self, deploy: Deploy, found: Found) -> Steps:
        app = found.app
        if app is None or not app.manifest.auto_install:
            return
        deploy.attempt(Step.INSTALLING)
        deploy.reach(Step.INSTALLING)
        yield self._in_thread(lambda: self._around.interpreters.find(app))

    def _record(self, deploy: Deploy, upload: "Upload", unpacked: "Unpacked") -> ReleaseRecord:
        now_s = time.time()
        return ReleaseRecord(
            deploy.app,
            deploy.version,
            upload.digest,
            now_s,
            by=deploy.by,
            archive_bytes=upload.size_bytes,
            size_bytes=unpacked.size_bytes,
            files=len(unpacked.files),
            active_s=now_s,
        )

    def _outcome(self, name: str, known: Known) -> Ask:
        """Wait until what was installed serves, or has the state it should have: "", or why not."""
        roster, manifest = self._plugins.roster, known.folder.manifest

        def look() -> str | None:
            found, life = roster.found.get(name), roster.lives.get(name)
            if found is None or found.manifest is not manifest:
                return None  # not looked at yet
            is_tried = life is None or (life.tried is not None and life.tried.manifest is manifest)
            if not is_tried or (life is not None and life.coming is not None):
                return None
            serving = life.serving if life is not None else None
            if serving is not None and serving.found.manifest is manifest and serving.has_loaded:
                return ""
            if life is not None and life.failure:
                return f"{name} does not serve: {life.failure}"
            state, why = state_of(roster, name)
            if state in ("starting", "waiting"):
                return None
            if state in ("asleep", "disabled") or (state == "serving" and life is None):
                return ""
            return f"{name} does not serve, it is {state}: {why}"

        late = f"{name} does not serve after {_TRY_S:.0f} s"
        return self._around.outcomes.of(look, _TRY_S, late)

    def _in_thread(self, work: Callable[[], object]) -> Ask:
        return in_thread(self.loop, work)


_OFF_ADVICE = (
    "; it can be installed switched off (buntime plugins install --disabled, ?enabled=0), then be "
    "given its options and enabled"
)


def _prepare(unfinished: UnfinishedPlugin, record: ReleaseRecord, unpacked: "Unpacked") -> None:
    """Make sure that it is on the disk, so that its link may be switched. In a thread."""
    # See `Installer._unpack`.
    from buntime.server.deploys.unpacking import sync

    write_files(unfinished.folder, unpacked.files)
    sync(unfinished.folder)
    unfinished.prepare(record)


def _fault_of(exc: Exception) -> HttpError:
    """What to answer for what went wrong."""
    if isinstance(exc, HttpError):
        return exc
    if isinstance(exc, ManifestError):
        return ClientFault(422, "manifest_invalid", str(exc))
    if isinstance(exc, OSError):
        return storage_fault(exc)
    return _OURS
