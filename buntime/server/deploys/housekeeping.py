"""What operators look up in the store, and what is removed from it."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from buntime.core.deploys.names import is_preview
from buntime.core.deploys.retention import Kept, surplus, target_of_rollback
from buntime.core.errors import ClientFault
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.catalog import Catalog
from buntime.server.bundle.cachefolder import remove
from buntime.server.deploys.course import Steps, Turns, in_thread, run
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.opening import DeployPlace
from buntime.server.deploys.records import ReleaseRecord
from buntime.server.deploys.store import Store
from buntime.server.http1.service import Service
from buntime.server.loop.loop import Timer
from buntime.server.pool.pool import Pool

Then = Callable[[Any], None]
Check = Callable[[], None]

_SOON_S = 1.0
_EXPIRED_S = 0.05  # after the expiry, so that it has passed by any clock
_EXPIRY_LOOK_S = 3600.0  # the system clock may be set forward
_UNDERWAY_S = 5.0  # how late requests that found a version while it was active may arrive
_TIDY_S = 10.0  # until the next look whether the workers of what was removed have ended


class Use(NamedTuple):
    """How a version is in use: when a request last named it, in seconds since 1970."""

    asked_s: float
    has_workers: bool


class Housekeeping:
    """Finds and removes versions, on the loop's thread; threads wait for the disk.

    Removals wait in line with the deploys of the app: they share `turns`.
    """

    def __init__(
        self, service: Service, pool: Pool, catalog: Catalog, place: DeployPlace, turns: Turns
    ) -> None:
        self.loop = service.loop
        self._turns = turns
        self._service = service
        self._pool = pool
        self._catalog = catalog
        self._place = place
        # By app: the active version, and how many are kept. By app and version: when it stopped
        # being active, by the loop's clock.
        self._active: dict[str, str] = {}
        self._keep: dict[str, int] = {}
        self._left_s: dict[tuple[str, str], float] = {}
        self._tidying: dict[str, Timer] = {}  # by app: the next time

        self._expiring: Timer | None = None
        self._expire_later()

    def __repr__(self) -> str:
        return f"Housekeeping({self._place})"

    def find_version(self, app: str, version: str, then: Callable[[Any], None]) -> None:
        """Find the version to go to, as `find_before` does; a ClientFault if it cannot be."""
        store = self._place.open()

        def find() -> tuple[str, str | None]:
            if is_preview(version):
                raise ClientFault(409, "version_is_preview", "a preview is never active")
            path = os.path.join(store.root, store.layout_of(app).path_of(version))
            if not os.path.isdir(path):
                raise ClientFault(
                    404,
                    "version_not_found",
                    f"{app} has no version {version}: there is no {path}",
                )
            store.check_active(app)
            return version, None

        self.loop.run_blocking(find, then)

    def find_before(self, app: str, then: Callable[[Any], None]) -> None:
        """Find the previously active version, "" for the app's own folder, and the active one.

        `then` gets a ClientFault instead if there is no version to go back to.
        """
        store = self._place.open()

        def find() -> tuple[str, str | None]:
            active = store.active(app)
            kept = [kept_of(each) for each in store.releases(app).values()]
            before = target_of_rollback(kept, active=active, withheld=store.withheld(app))
            if active is None or (before is None and not store.layout_of(app).is_flat):
                raise ClientFault(
                    409,
                    "nothing_before",
                    f"no version of {app} was active before the current one, but for those that "
                    f"were rolled back from; to go to another: buntime activate {app}@VERSION",
                )
            return before or "", active

        self.loop.run_blocking(find, then)

    def remove(self, app: str, version: str, then: Then, *, is_dry_run: bool, check: Check) -> None:
        """Remove a version; `then` gets how many releases were removed, or why that is not
        possible.

        `check` raises the reason; it is called when all that comes before in the line is done.
        """
        store = self._place.open()

        def work(in_use: set[str]) -> int:
            if store.release_at(app, version) is None:
                raise ClientFault(404, "version_not_found", f"no deploy has made {app}@{version}")
            if store.active(app) == version:
                raise ClientFault(
                    409,
                    "version_active",
                    f"{app}@{version} is active; activate another one first, or remove the app: "
                    f"buntime remove {app} --all",
                )
            if is_dry_run:
                return 0
            with store.turn(app):
                store.remove(app, version)
                return len(store.tidy(app, in_use))

        run(self._remove(app, work, then, check))

    def remove_all(self, app: str, then: Then, *, is_dry_run: bool, check: Check) -> None:
        """Remove all that deploys have made of an app; `then` gets the versions."""
        store = self._place.open()

        def work(in_use: set[str]) -> list[str]:
            versions = sorted(store.releases(app))
            if not versions:
                raise ClientFault(404, "app_not_found", f"no deploy has made a version of {app}")
            if not is_dry_run:
                with store.turn(app):
                    store.deactivate(app, versions)
                    for version in versions:
                        store.remove(app, version)
                    store.tidy(app, in_use)
            return versions

        run(self._remove(app, work, then, check))

    def _remove(self, app: str, work: Callable[[set[str]], Any], then: Then, check: Check) -> Steps:
        """Do it while no deploy of the app is under way; `work` gets the folders in use."""
        yield self._turns.take(app)
        result: Any
        try:
            check()
            in_use = self._in_use(app)
            result = yield in_thread(self.loop, lambda: work(in_use))
        except OSError as exc:
            result = storage_fault(exc)
        except Exception as exc:  # noqa: BLE001  # passed on to the caller
            result = exc
        finally:
            self._turns.leave(app)
        self._catalog.refresh()
        self.tidy_soon(app)
        then(result)

    def activated(self, app: str, version: str, keep: int | None) -> None:
        """Another version is active; keep this many of the earlier ones."""
        before = self._active.get(app)
        if before is not None and before != version:
            self._left_s[app, before] = self.loop.now
        self._active[app] = version
        if keep is not None:
            self._keep[app] = keep
        self.tidy_soon(app)

    def have_preview(self, record: ReleaseRecord) -> None:
        """The preview can be opened from now on, until it expires."""
        self._place.previews.put(record)
        self._expire_later()
        self.tidy_soon(record.app)

    def _expire_later(self) -> None:
        seconds = self._place.previews.next_s()
        if self._expiring is not None:
            self._expiring.cancel()
        if seconds is not None:
            wait_s = min(seconds + _EXPIRED_S, _EXPIRY_LOOK_S)
            self._expiring = self.loop.call_later(wait_s, self._expire)

    def _expire(self) -> None:
        """End the workers of expired previews; the next tidying removes what is left of them."""
        for app, version in self._place.previews.take_expired():
            for each in tuple(self._pool.deployments.by_state.values()):
                if (each.app.name, each.app.version) == (app, version):
                    self._pool.deployments.take_off(each)
            self._tidy_in(app, _SOON_S)
        self._expire_later()

    def tidy_soon(self, app: str) -> None:
        """Remove surplus versions, and the files of releases that nothing links to any more."""
        self._tidy_in(app, _SOON_S)

    def _uses(self, app: str) -> dict[str, Use]:
        """How the versions of an app are in use."""
        uses = {}
        for each in self._pool.deployments.by_state.values():
            version = each.app.version
            if each.app.name == app and version is not None:
                ago_s = self.loop.now - each.state.last_request_s
                since_s = each.state.last_request_s - self._left_s.get((app, version), 0.0)
                # Requests that came while it was active did not name it by its version.
                is_pinned = each.state.last_request_s > 0 and since_s > _UNDERWAY_S
                asked_s = time.time() - ago_s if is_pinned else 0.0
                uses[version] = Use(asked_s, bool(each.state.workers))
        return uses

    def _in_use(self, app: str) -> set[str]:
        """The folders that workers of the app run from."""
        return {
            str(each.app.dir)
            for each in self._pool.deployments.by_state.values()
            if each.app.name == app and each.state.workers
        }

    def _tidy_in(self, app: str, seconds: float) -> None:
        """Remove the files of releases that nothing links to, once their last worker has ended."""
        before = self._tidying.pop(app, None)
        if before is not None:
            before.cancel()
        self._tidying[app] = self.loop.call_later(seconds, lambda: run(self._tidy(app)))

    def _tidy(self, app: str) -> Steps:
        """Tidy now, or when no deploy of the app is under way; and again later if more remains."""
        del self._tidying[app]
        yield self._turns.take(app)
        is_more = False
        try:
            store, keep = self._place.store, self._keep.get(app)
            in_use, uses = self._in_use(app), self._uses(app)
            if store is not None and not self._service.is_draining:
                data = self._pool.sandboxes.data_folder
                is_more = yield in_thread(
                    self.loop, lambda: _tidy(store, app, in_use, uses, keep, data)
                )
        except (ClientFault, OSError):  # another runtime is deploying it, or the disk failed
            is_more = True
        finally:
            self._turns.leave(app)
        if is_more and app not in self._tidying and not self._service.is_draining:
            self._tidy_in(app, _TIDY_S)


def _tidy(
    store: Store,
    app: str,
    in_use: set[str],
    uses: Mapping[str, Use],
    keep: int | None,
    data_folder: Callable[[str, str], str],
) -> bool:
    """Whether more remains to be done later. With `keep` None, no version is surplus."""
    with store.turn(app):
        kept = [kept_of(each, uses.get(each.version)) for each in store.releases(app).values()]
        most, active = len(kept) + 1 if keep is None else keep, store.active(app)
        gone = surplus(kept, active=active, keep=most, now=time.time())
        for version in gone:
            store.remove(app, version)
            if is_preview(version):
                _remove_data(data_folder(app, version))
        store.tidy(app, in_use)
        return store.has_surplus(app) or len(kept) - len(gone) > most


def _remove_data(folder: str) -> None:
    """Remove the data of a preview, which belong to its app's user."""
    remove(folder)


def kept_of(record: ReleaseRecord, use: Use | None = None) -> Kept:
    """What decides whether a release is kept."""
    return Kept(
        record.version,
        record.deployed_s,
        active_s=record.active_s,
        asked_s=use.asked_s if use is not None else 0.0,
        has_workers=use is not None and use.has_workers,
        expires_s=record.expires_s,
    )
