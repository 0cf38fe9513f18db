"""What operators see of deploys: the latest ones, and the archive of a version."""

from collections.abc import Mapping
from typing import IO

from buntime.core.errors import ClientFault
from buntime.core.values.regex import regex
from buntime.server.admin.api import Handler
from buntime.server.admin.call import Call
from buntime.server.deploys.carrier import Carrier
from buntime.server.deploys.deploy import Line
from buntime.server.deploys.disk import storage_fault
from buntime.server.deploys.history import KEPT
from buntime.server.deploys.store import Store

_NUMBER = regex(r"[0-9a-f]{1,16}-[0-9]{1,9}")


class DeployViews:
    """Serves these pages."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "deploys.archive": self._archive,
            "deploys.list": self._list,
            "deploys.show": self._show,
        }

    def _list(self, call: Call) -> None:
        wanted = call.query["app"]
        found = [
            line
            for line in self._carrier.history.latest()
            if call.sees(line["app"]) and wanted in (None, line["app"])
        ]
        page, following = _page(call, found)
        call.answer({"deploys": page, "next": following})

    def _show(self, call: Call) -> None:
        number = call.values["deploy"]
        for line in self._carrier.history.latest():
            if line["id"] == number and call.sees(line["app"]):
                call.answer(line)
                return
        raise ClientFault(
            404,
            "deploy_not_found",
            f"there is no deploy {number[:100]}; the last {KEPT} are kept, see GET /api/deploys",
        )

    def _archive(self, call: Call) -> None:
        app, version = call.values["app"], call.values["version"]
        store = self._carrier.place.open()

        def packed(result: IO[bytes] | BaseException) -> None:
            if isinstance(result, OSError):
                raise storage_fault(result)
            if isinstance(result, BaseException):
                raise result
            _send(call, result, f"{app.rpartition('/')[2]}-{version}.tar.gz")

        self._carrier.look(
            lambda: _pack(store, app, version), lambda result: call.guard(lambda: packed(result))
        )


def _page(call: Call, found: list[Line]) -> tuple[list[Line], str | None]:
    """The deploys after the cursor, which is the last deploy of the previous page.

    If that one is no longer kept, it was older than all that are.
    """
    limit, cursor = call.query["limit"], call.query["cursor"]
    if cursor is not None:
        if not _NUMBER.fullmatch(cursor):
            raise ClientFault(400, "bad_query", "cursor must be the `next` of an earlier page")
        numbers = [line["id"] for line in found]
        found = found[numbers.index(cursor) + 1 :] if cursor in numbers else []
    page = found[:limit]
    return page, page[-1]["id"] if len(page) < len(found) else None


def _pack(store: Store, app: str, version: str) -> IO[bytes]:
    # tarfile would take 10 ms of a start.
    from buntime.server.deploys.packing import pack

    return pack(store, app, version)


def _send(call: Call, file: IO[bytes], name: str) -> None:
    """Answer with a file, which is closed once sent."""
    size_bytes = file.seek(0, 2)
    if call.is_gone:
        file.close()
        return
    fields = [
        ("content-type", "application/gzip"),
        ("content-disposition", f'attachment; filename="{name}"'),
        ("cache-control", "no-store"),
    ]
    exchange = call.exchange
    exchange.start(200, fields, size_bytes)
    exchange.send_file(file.fileno(), 0, size_bytes)
    exchange.release_later(file)
    exchange.finish()
