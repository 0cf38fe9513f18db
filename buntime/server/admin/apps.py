"""What operators see of apps, and do to a whole app: only apps that the caller's globs cover."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from buntime.core.apps.app import App, Fault
from buntime.core.apps.manifest import to_config
from buntime.core.apps.router import split_target
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.admin.api import Handler
from buntime.server.admin.appstate import state_of
from buntime.server.admin.appurls import AppUrls
from buntime.server.admin.audit import Audit, Begun, Note
from buntime.server.admin.call import Call
from buntime.server.admin.maintenance import (
    MESSAGE,
    RETRY_AFTER_S,
    Closed,
    Keep,
    Maintenance,
    kept_of,
)
from buntime.server.admin.missing import check_exists, found_app
from buntime.server.apps.catalog import Catalog
from buntime.server.pool.pool import Pool

if TYPE_CHECKING:
    from sqlite3 import Connection

_BUSIEST_FIRST = ("active", "ephemeral", "idle", "static", "offline")


class AppPages:
    """Serves these pages."""

    def __init__(
        self,
        pool: Pool,
        catalog: Catalog,
        maintenance: Maintenance,
        audit: Audit,
        urls: AppUrls,
    ) -> None:
        self._pool = pool
        self._catalog = catalog
        self._maintenance = maintenance
        self._audit = audit
        self._urls = urls

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "apps.list": self._list,
            "apps.show": self._show,
            "apps.sleep": self._sleep,
            "apps.close": self._close,
            "apps.open": self._open,
            "apps.maintenance": self._show_closed,
        }

    # Reading

    def _list(self, call: Call) -> None:
        """List without looking at the manifests, of which there may be thousands."""
        versions: dict[str, list[str | None]] = {}
        for name, version in self._catalog.names(call.now):
            versions.setdefault(name, []).append(version)
        after, limit = call.query["cursor"] or "", call.query["limit"]
        names = [name for name in sorted(versions) if name > after and call.sees(name)]
        summaries = {name: self._summary(name, versions[name], call.now) for name in names[:limit]}
        for each in self._pool.report.apps(call.now):
            if each["app"] in summaries:
                _add(summaries[str(each["app"])], each)
        more = names[limit - 1] if len(names) > limit else None
        call.answer({"apps": list(summaries.values()), "next": more})

    def _summary(self, name: str, versions: list[str | None], now: float) -> dict[str, Any]:
        active = self._catalog.newest(name, now)
        found = self._catalog.seen(name, active)
        return {
            "app": name,
            "versions": versions,
            "active": active,
            "status": _resting(found),
            "workers": 0,
            "queued": 0,
            "bootFailures": 0,
            "bootError": None,
            "error": found.error if isinstance(found, Fault) else None,
            "maintenance": self._maintenance.of(name) is not None,
        }

    def _show(self, call: Call) -> None:
        check_exists(call, self._catalog)
        name = call.values["app"]
        found = self._catalog.all_of(name, call.now)
        running = {each["version"]: each for each in self._pool.report.apps(call.now)
                   if each["app"] == name}  # fmt: skip
        active = self._active(name, call.now)
        versions = [
            self._version(each, running.get(each.version), is_active=each.version == active)
            for each in found
        ]
        closed = _json_of(self._maintenance.of(name))
        call.tagged(
            {
                "app": name,
                "url": self._urls.of(call, name),
                "active": active,
                "versions": versions,
                "maintenance": closed,
            },
            of=state_of(self._catalog, name, found, call.now),
        )

    def _active(self, name: str, now: float) -> str | None:
        """The version that serves requests for the app without a range."""
        try:
            return self._catalog.find(name, None, now).version
        except (ClientFault, ManifestError):
            return self._catalog.newest(name, now)

    def _version(
        self, found: App | Fault, running: Mapping[str, object] | None, *, is_active: bool
    ) -> dict[str, object]:
        state = running or {"status": _resting(found), "workers": 0, "queued": 0}
        error = self._pool.stats.errors.of(found.key)
        fields: dict[str, object] = {
            "version": found.version,
            "active": is_active,
            "folder": str(found.dir if isinstance(found, App) else found.folder),
            "error": found.error if isinstance(found, Fault) else None,
            **{name: value for name, value in state.items() if name not in ("app", "version")},
            "lastError": error.to_json() if error is not None else None,
            "coldStart": self._pool.report.cold_start(found.key),
        }
        return fields | (_settings(found) if isinstance(found, App) else {})

    # Changing

    def _sleep(self, call: Call) -> None:
        """All versions of "shop"; for "shop@1.2.0" and "shop@^1" the one that is meant."""
        target = split_target(f"/{call.values['target']}")
        if target is None:
            raise AssertionError("a target that was read before")
        app = found_app(call, self._catalog, target.name, target.spec)
        key = app.key if target.spec is not None else None
        idle = self._pool.report.idle_of(app.name, key)
        if call.is_dry_run:
            call.answer({"ended": idle}, 202)
            return

        def act(begun: Begun) -> None:
            ended = self._pool.orders.sleep_app(app.name, key)
            begun.end(before={"workers": ended})
            call.answer({"ended": ended}, 202)

        self._audit.begin(call, key or app.name, {"workers": idle}, then=act)

    def _close(self, call: Call) -> None:
        check_exists(call, self._catalog)
        call.json(lambda value: self._close_as(call, value or {}))

    def _close_as(self, call: Call, value: Mapping[str, Any]) -> None:
        name = call.values["app"]
        message, after_s = value.get("message", MESSAGE), value.get("retryAfterSeconds")
        call.check_match(_closed_json(name, self._maintenance.of(name)))
        if call.is_dry_run:
            self._answer_of(call, Closed(0.0, message, after_s or RETRY_AFTER_S))
            return
        notes: list[Note] = []

        def noted(closed: Closed) -> Keep:
            notes.append(self._noted(call, closed))
            return self._checked(call, notes[0])

        def done(result: Closed | BaseException) -> None:
            self._answer_of(call, result, notes[0])

        after_s = after_s or RETRY_AFTER_S
        self._maintenance.close(
            name, message, after_s, noted, lambda result: call.guard(lambda: done(result))
        )

    def _show_closed(self, call: Call) -> None:
        name = call.values["app"]
        closed = self._maintenance.of(name)
        if closed is None:
            check_exists(call, self._catalog)
        self._answer_of(call, closed)

    def _open(self, call: Call) -> None:
        app = call.values["app"]
        if self._maintenance.of(app) is None:
            check_exists(call, self._catalog)
        call.check_match(_closed_json(app, self._maintenance.of(app)))
        is_open = self._maintenance.is_known and self._maintenance.of(app) is None
        if call.is_dry_run or is_open:  # then nothing changes, so there is nothing to note
            self._answer_of(call, None)
            return
        note = self._noted(call, None)
        self._maintenance.open(
            app,
            self._checked(call, note),
            lambda result: call.guard(lambda: self._answer_of(call, result, note)),
        )

    def _noted(self, call: Call, closed: Closed | None) -> Note:
        app = call.values["app"]
        before = _json_of(self._maintenance.of(app))
        return self._audit.note_of(call, call.route.name, app, before, _json_of(closed))

    def _checked(self, call: Call, note: Note) -> Keep:
        """Keep the note if the app is as If-Match says, checked against the table itself."""
        app = call.values["app"]

        def keep(connection: "Connection") -> None:
            call.check_match(_closed_json(app, kept_of(connection, app)))
            note.keep(connection)

        return keep

    def _answer_of(
        self, call: Call, result: Closed | BaseException | None, note: Note | None = None
    ) -> None:
        if isinstance(result, BaseException):
            raise result
        if note is not None:
            note.tell()
        call.tagged(_closed_json(call.values["app"], result))


def _resting(found: App | Fault | None) -> str:
    """The status of an app without workers: a static site needs none to serve."""
    return "static" if isinstance(found, App) and found.is_static else "offline"


def _add(summary: dict[str, Any], version: Mapping[str, Any]) -> None:
    """Add what is known of one version's workers to the summary of the app."""
    for name in ("workers", "queued", "bootFailures"):
        summary[name] += version[name]
    summary["bootError"] = summary["bootError"] or version["bootError"]
    summary["status"] = min(summary["status"], version["status"], key=_BUSIEST_FIRST.index)


def _settings(app: App) -> dict[str, object]:
    """The settings from its manifest, with defaults. Of its variables only the names."""
    manifest = to_config(app.manifest)
    return {
        "entrypoint": app.entrypoint,
        "static": app.is_static,
        "manifest": {**manifest, "env": sorted(app.manifest.env)},
        "changedByOperator": [
            {**each._asdict(), "was": None, "now": None} if each.key == "env" else each._asdict()
            for each in app.manifest.floors
        ],
    }


def _json_of(closed: Closed | None) -> dict[str, object] | None:
    return closed.to_json() if closed is not None else None


def _closed_json(app: str, closed: Closed | None) -> dict[str, object]:
    return {"app": app, "maintenance": _json_of(closed)}
