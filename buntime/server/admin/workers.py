"""What operators see of workers, and do to them: only those of apps that their globs cover."""

from collections.abc import Mapping

from buntime.core.apps.router import split_target
from buntime.core.errors import ClientFault
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit, Begun
from buntime.server.admin.call import Call
from buntime.server.admin.missing import found_app
from buntime.server.apps.catalog import Catalog
from buntime.server.pool.pool import Pool
from buntime.server.pool.programs import KEPT


class WorkerPages:
    """Serves these pages."""

    def __init__(self, pool: Pool, catalog: Catalog, audit: Audit) -> None:
        self._pool = pool
        self._catalog = catalog
        self._audit = audit

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "workers.list": self._list,
            "workers.stats": self._stats,
            "workers.recycle": self._recycle_worker,
            "apps.recycle": self._recycle_app,
        }

    def _list(self, call: Call) -> None:
        """List them; spares, which belong to no app, are only for callers that see everything."""
        report = self._pool.report
        sees_all = call.may(call.route.verb)
        workers = report.workers(call.now)
        apps = report.apps(call.now)
        if not sees_all:
            workers = [each for each in workers if each["app"] and call.sees(str(each["app"]))]
            apps = [each for each in apps if call.sees(str(each["app"]))]
        by_name = {str(each["id"]): each for each in workers}
        page, following = call.page(by_name)
        call.answer(
            {
                "workers": [by_name[name] for name in page],
                "next": following,
                "apps": apps,
                "sandbox": self._pool.sandboxes.to_json(),
                "limits": self._pool.groups.to_json(),
            }
        )

    def _stats(self, call: Call) -> None:
        stats = self._pool.report.app_stats()
        if not call.may(call.route.verb):
            stats = {
                key: figures for key, figures in stats.items() if call.sees(key.rpartition("@")[0])
            }
        call.answer(stats)

    def _recycle_worker(self, call: Call) -> None:
        name = call.values["worker"]
        app = self._app_of(call, name)
        if app is None:
            raise _no_worker(name)
        if call.is_dry_run:
            call.answer({"recycled": [name]}, 202)
            return

        def act(begun: Begun) -> None:
            if not self._pool.orders.recycle_worker(name):
                raise _no_worker(name)
            begun.end()
            call.answer({"recycled": [name]}, 202)

        self._audit.begin(call, name, app=app, then=act)

    def _app_of(self, call: Call, name: str) -> str | None:
        """A worker's app; None if it does not exist, or the caller may not touch the app."""
        found = (each for each in self._pool.report.workers(call.now) if each["id"] == name)
        worker = next(found, None)
        if worker is None:
            return None
        app = str(worker["app"])
        return app if call.may(call.route.verb) or call.sees(app) else None

    def _recycle_app(self, call: Call) -> None:
        """All running versions of "shop"; for "shop@1.2.0" and "shop@^1" the one that is meant."""
        target = split_target(f"/{call.values['target']}")
        if target is None:
            raise AssertionError("a target that was read before")
        app = found_app(call, self._catalog, target.name, target.spec)
        key = app.key if target.spec is not None else None
        if call.is_dry_run:
            call.answer({"recycled": self._workers_of(call, app.name, key)}, 202)
            return
        workers = {"workers": self._workers_of(call, app.name, key)}

        def act(begun: Begun) -> None:
            recycled = self._pool.orders.recycle_app(app.name, key)
            begun.end(before={"workers": recycled})
            call.answer({"recycled": recycled}, 202)

        self._audit.begin(call, key or app.name, workers, then=act)

    def _workers_of(self, call: Call, name: str, key: str | None) -> list[object]:
        return [
            worker["id"]
            for worker in self._pool.report.workers(call.now)
            if worker["app"] == name
            and key in (None, f"{name}@{worker['version']}")
            and str(worker.get("program", KEPT)).startswith(KEPT)
        ]


def _no_worker(name: str) -> ClientFault:
    message = f"no worker of an app is named {name[:200]}; see GET /api/workers"
    return ClientFault(404, "worker_not_found", message)
