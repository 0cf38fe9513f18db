"""Carries out deploys: one per app at a time, in the order in which they came.

    upload ─> unpack, check ─> install, release ─> boot, probe ─> switch the links ─> ACTIVE
    (threads)  (threads)        (threads, programs)  (pool)         (threads)

A deploy that fails leaves nothing behind, and what served before goes on serving. Once its archive
has arrived, nothing changes if the client leaves. Used on the loop's thread.
"""

import contextlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buntime.core.apps.app import App
from buntime.core.deploys.members import Bounds
from buntime.core.deploys.names import Release
from buntime.core.deploys.preview import hash_of
from buntime.core.deploys.steps import Step
from buntime.core.errors import ClientFault, HttpError, ManifestError, NoRoom, ServerFault
from buntime.core.settings.live import LiveSettings
from buntime.server.apps.appfolder import AppFolder
from buntime.server.apps.catalog import Catalog
from buntime.server.deploys.booting import let_go, trace_of
from buntime.server.deploys.course import Ask, Steps, Turns, after, holding, in_thread, run
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.diskwork import (
    Wish,
    left_behind,
    look,
    prepare,
    prolong,
    reach_unchanged,
    switch,
)
from buntime.server.deploys.lastlines import LINES_MAX, LOOKS_MAX, WAIT_S, last_lines
from buntime.server.deploys.loading import Loading
from buntime.server.deploys.records import (
    ReleaseRecord,
)
from buntime.server.deploys.standing import Standing
from buntime.server.deploys.store import Store, Unfinished
from buntime.server.http1.service import Service
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.telemetry.applogs import AppLogs

if TYPE_CHECKING:
    from buntime.server.deploys.unpacking import Unpacked
    from buntime.server.deploys.upload import Upload

_WATCH_S = 0.25
_DRAINING = ServerFault(
    503, "draining", "the runtime is shutting down; deploy again once it is back"
)
_OURS = ServerFault(500, "internal", "the runtime failed; its log says more")
_WITH_CODE = (Step.BOOTED, Step.PROBED)  # steps at which workers run code of the app
UNPACKED_FACTOR = 4  # size of an unpacked archive, in multiples of the largest archive


class Carrier:
    """All deploys of a runtime."""

    def __init__(
        self,
        live: LiveSettings,
        service: Service,
        pool: Pool,
        catalog: Catalog,
        interpreters: Interpreters,
        app_logs: AppLogs,
        standing: Standing,
    ) -> None:
        self._app_logs = app_logs
        self._live = live
        self.place = standing.place
        self.housekeeping = standing.housekeeping
        self.history = standing.history
        self._turns = standing.turns
        self.loop = service.loop
        self.uploads = Turns(at_once=2)  # archives that are arriving
        self._service = service
        self._log = service.log
        self._pool = pool
        self._catalog = catalog
        self._loading = Loading(live, service, pool, catalog, interpreters)
        self._running: set[Deploy] = set()
        self._begun = 0
        self._first = f"{int(time.time()):x}"

    def __repr__(self) -> str:
        return f"Carrier({self.place}, {self.history})"

    def begin(
        self, kind: str, app: str, version: str, by: str, *, is_dry_run: bool = False
    ) -> Deploy:
        """A deploy that operators can see from now on."""
        self._begun += 1
        number = f"{self._first}-{self._begun}"
        deploy = Deploy(number, kind, app, version, by, is_dry_run=is_dry_run)
        self.history.add(deploy)
        return deploy

    # What pages ask for

    def look(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Look something up on the disk, in a thread."""
        self.loop.run_blocking(work, then)

    def deploy(self, deploy: Deploy, upload: "Upload", wish: Wish) -> None:
        """Carry out the deploy, with an archive that has arrived; closes the upload at the end."""
        run(self._guarded(deploy, self._deploy(deploy, upload, wish), upload.close))

    def activate(self, deploy: Deploy, wish: Wish, *, leaves: str | None = None) -> None:
        """Make another version active, once a worker has loaded it."""
        run(self._guarded(deploy, self._activate(deploy, wish, leaves), lambda: None))

    # The course of a deploy

    def _guarded(self, deploy: Deploy, steps: Steps, close: Callable[[], None]) -> Steps:
        """Run one at a time for each app; report what goes wrong."""
        self._running.add(deploy)
        self._watch()
        logged = self._app_logs.last_seq
        yield self._turns.take(deploy.app)
        try:
            with contextlib.ExitStack() as held:
                held.callback(close)
                store = self.place.open()
                yield from holding(self.loop, store.turn(deploy.app), steps)
        except Exception as exc:  # noqa: BLE001  # reported as its end
            printed: list[str] = []
            if deploy.doing is Step.RELEASING:
                printed = [each["line"] for each in deploy.lines[-LINES_MAX:]]
            elif deploy.doing in _WITH_CODE and not deploy.is_over:
                for _ in range(LOOKS_MAX):  # the log's thread may not have written them yet
                    yield after(self.loop, WAIT_S)
                    printed = yield self._in_thread(lambda: self._printed_by(deploy, logged))
                    if printed:
                        break
            self._fail(deploy, exc, printed)
        finally:
            self._running.discard(deploy)
            self._turns.leave(deploy.app)
            if not deploy.is_over:
                deploy.fail(_OURS, log=[])

    def _watch(self) -> None:
        """A runtime that ends waits for no deploy: those under way have failed, and are undone now
        or at the next start."""
        if self._service.is_draining:
            for deploy in tuple(self._running):
                if deploy.doing is not Step.ACTIVE:
                    self._fail(deploy, _DRAINING, [])
        elif self._running:
            self.loop.call_later(_WATCH_S, self._watch)

    def _deploy(self, deploy: Deploy, upload: "Upload", wish: Wish) -> Steps:
        store = self.place.open()
        release = Release(deploy.app, deploy.version, upload.digest)
        deploy.attempt(Step.UNPACKED)
        wish.check()
        is_there, is_active = yield self._in_thread(lambda: look(store, release, wish))
        if is_there and wish.ttl_s:
            record = yield self._in_thread(lambda: prolong(store, release, wish))
            self.housekeeping.have_preview(record)
        if is_there:
            reach_unchanged(deploy, deploy.version, wish, is_active=is_active)
            return
        unfinished = yield self._in_thread(lambda: store.begin(release))
        try:
            record = yield from self._make(deploy, upload, unfinished, wish)
        except BaseException:
            self._catalog.expected.drop(self._path_of(store, deploy))
            yield self._in_thread(unfinished.undo)
            raise
        if record is None:
            yield self._in_thread(unfinished.undo)
            deploy.reach(Step.TRIED)
        elif wish.ttl_s:
            self._catalog.refresh()
            self.housekeeping.have_preview(record)
            deploy.reach(Step.ACTIVE, url=wish.url)
            self._log.info("preview.ready", "preview can be opened", **_fields(deploy))
        else:
            self._be_active(deploy, wish)

    def _make(
        self, deploy: Deploy, upload: "Upload", unfinished: Unfinished, wish: Wish
    ) -> Generator[Ask, Any, ReleaseRecord | None]:
        """From the archive to the links; None for a dry run."""
        unpacked = yield self._in_thread(lambda: self._unpack(upload, unfinished))
        deploy.reach(Step.UNPACKED, files=len(unpacked.files), bytes=unpacked.size_bytes)
        deploy.attempt(Step.CHECKED)
        path = self._path_of(self.place.open(), deploy)
        folder = self._catalog.examine(deploy.app, deploy.version, path, at=Path(unfinished.folder))
        app = _app_of(folder)
        store = self.place.open()
        left = yield self._in_thread(lambda: left_behind(store, deploy.app))
        warned = {"warnings": [_words_of(left)]} if left and not wish.ttl_s else {}
        deploy.reach(Step.CHECKED, entrypoint=app.entrypoint, **warned)
        if wish.is_dry_run:
            yield from self._loading.foresee(deploy, app)
            return None
        held = app.manifest.replace == "after" and not app.is_static and not wish.ttl_s
        old: App | None = None
        try:
            interpreter = yield from self._loading.install(deploy, app)
            if held:
                old = yield from self._loading.end_others(deploy)
            deployment = yield from self._loading.load(deploy, app, interpreter)
            record = self._record(deploy, upload, unpacked, wish)
            what = record, unpacked, wish
            record = yield from self._link(deploy, folder, deployment, unfinished, what)
        except BaseException:
            if held:
                self._pool.preparing.let_go(app.name)
            raise
        if held:
            self._catalog.refresh()
            self._pool.preparing.let_go(app.name, old, app)
        return record

    def _link(
        self,
        deploy: Deploy,
        folder: AppFolder,
        deployment: Deployment | None,
        unfinished: Unfinished,
        what: tuple[ReleaseRecord, "Unpacked", Wish],
    ) -> Generator[Ask, Any, ReleaseRecord]:
        """Point the links at the new release; if that fails, its worker is ended."""
        deploy.attempt(Step.ACTIVE)
        try:
            store = self.place.open()
            record: ReleaseRecord
            record = yield self._in_thread(lambda: prepare(store, unfinished, *what))
            self._catalog.expected.put(self._path_of(store, deploy), folder)
            if deployment is not None:
                self._pool.deployments.hold_ready(deployment)
            yield self._in_thread(lambda: switch(unfinished))
        except BaseException:
            if deployment is not None:
                yield from let_go(self._pool, self._service, deployment)
            raise
        return record

    def _activate(self, deploy: Deploy, wish: Wish, leaves: str | None) -> Steps:
        store = self.place.open()
        deploy.attempt(Step.CHECKED)
        wish.check()
        yield self._in_thread(lambda: store.check_active(deploy.app))
        active = yield self._in_thread(lambda: store.active(deploy.app))
        app: App | None = None
        if deploy.version:
            app = self._catalog.find(deploy.app, deploy.version, self.loop.now)
        deploy.reach(Step.CHECKED)
        if wish.is_dry_run:
            deploy.reach(Step.TRIED)
            return
        old = self._loading.alone(deploy.app, app) if active != deploy.version else None
        new: App | None = None
        try:
            if old is not None:
                yield from self._loading.end_others(deploy)
            if app is not None:
                yield from self._loading.load_served(deploy, app)
            deploy.attempt(Step.ACTIVE)
            yield self._in_thread(
                lambda: store.activate(
                    deploy.app, deploy.version or None, leaves=leaves, now_s=time.time()
                )
            )
            self._catalog.refresh()
            new = app or self._loading.active(deploy.app)
        except BaseException:
            if old is not None:
                with contextlib.suppress(ServerFault):  # report the first fault, not this one
                    yield from self._loading.end_others(deploy)
            raise
        finally:
            if old is not None:
                self._pool.preparing.let_go(deploy.app, old, new)
        self._be_active(deploy, wish)

    # Parts of these

    def _unpack(self, upload: "Upload", unfinished: Unfinished) -> "Unpacked":
        """In a thread."""
        # Importing tarfile and zipfile takes 15 ms, too much for the start.
        from buntime.server.deploys.unpacking import unpack

        bounds = Bounds(unpacked_bytes=UNPACKED_FACTOR * self._live.now.upload_max_bytes)
        return unpack(upload.file, unfinished.folder, bounds, go_on=self._go_on)

    def _record(
        self, deploy: Deploy, upload: "Upload", unpacked: "Unpacked", wish: Wish
    ) -> ReleaseRecord:
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
            active_s=0.0 if wish.ttl_s else now_s,
            expires_s=now_s + wish.ttl_s if wish.ttl_s else 0.0,
            token=hash_of(wish.token) if wish.token else "",
        )

    def _be_active(self, deploy: Deploy, wish: Wish) -> None:
        """Make it serve from now on, without waiting for the next scan of the folders."""
        self._catalog.refresh()
        found: App | None = None
        with contextlib.suppress(ClientFault, ManifestError):
            found = self._catalog.find(deploy.app, None, self.loop.now)
            if not found.is_static:
                self._pool.deployments.current(found.code)
        keep = found.manifest.keep_versions if found is not None else None
        self.housekeeping.activated(deploy.app, deploy.version, keep)
        deploy.reach(Step.ACTIVE, url=wish.url)
        self._log.info("deploy.active", "version is active", **_fields(deploy))

    def _printed_by(self, deploy: Deploy, since: int) -> list[str]:
        """In a thread."""
        return last_lines(self._app_logs, deploy.app, deploy.version, since)

    def _fail(self, deploy: Deploy, exc: Exception, printed: list[str]) -> None:
        if deploy.is_over:
            return
        error, stack = _error_of(exc)
        deploy.fail(error, stack=stack, log=printed)
        self._log.error(
            "deploy.failed",
            "deploy failed; what was served before is still served",
            **_fields(deploy),
            step=deploy.doing.value,
            error=error.message,
        )

    def _go_on(self) -> None:
        """In a thread: interrupts long work when the runtime ends."""
        if self._service.is_draining:
            raise _DRAINING

    def _path_of(self, store: Store, deploy: Deploy) -> Path:
        return Path(store.root, store.layout_of(deploy.app).path_of(deploy.version))

    def _in_thread(self, work: Callable[[], object]) -> Ask:
        return in_thread(self.loop, work)


def _fields(deploy: Deploy) -> dict[str, object]:
    """What the log says about a deploy."""
    return {
        "app": deploy.app,
        "version": deploy.version or None,
        "kind": deploy.kind,
        "by": deploy.by,
        "deploy": deploy.id,
    }


def _words_of(left: list[str]) -> str:
    names = ", ".join(left)
    return (
        f"the active version's folder has files that its archive did not have: {names}; the new "
        "version does not get them, so keep lasting files in APP_DATA_DIR (`data: true`)"
    )


def _app_of(folder: AppFolder) -> App:
    found = folder.found
    if isinstance(found, App):
        return found
    error = "the folder is gone" if found is None else found.error
    raise ClientFault(422, "app_invalid", error)


def _error_of(exc: Exception) -> tuple[HttpError, str]:
    """What to report of a deploy that failed with this exception: error and stack trace."""
    if isinstance(exc, HttpError):
        return exc, exc.detail
    if isinstance(exc, NoRoom):
        return ServerFault(507, "disk_full", str(exc)), ""
    if isinstance(exc, ManifestError):
        return ClientFault(422, "app_invalid", str(exc)), ""
    if isinstance(exc, OSError):
        return storage_fault(exc), ""
    return _OURS, trace_of(exc)
