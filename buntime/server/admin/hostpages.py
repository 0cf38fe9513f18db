"""What operators see of hosts, and moving a host to another app that names it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from buntime.core.apps.app import App
from buntime.core.errors import ClientFault
from buntime.core.values.moments import iso_moment
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit
from buntime.server.admin.call import Call
from buntime.server.admin.missing import meant
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.hostindex import HostIndex, Standing
from buntime.server.state.hostclaims import HostClaims

if TYPE_CHECKING:
    from sqlite3 import Connection

_Json = dict[str, object]


class HostPages:
    """Serves these pages. Apps that the caller may not see are never named."""

    def __init__(
        self,
        hosts: Callable[[], HostIndex],
        claims: HostClaims | None,
        catalog: Catalog,
        audit: Audit,
    ) -> None:
        """`claims` is None in development, where the order of apps decides who gets a host."""
        self._hosts = hosts
        self._claims = claims
        self._catalog = catalog
        self._audit = audit

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"hosts.list": self._list, "hosts.show": self._show, "hosts.move": self._move}

    def _list(self, call: Call) -> None:
        found = self._found(call)
        page, following = call.page(found)
        call.answer(
            {"hosts": [self._host_json(call, found[host]) for host in page], "next": following}
        )

    def _show(self, call: Call) -> None:
        host = call.values["host"]
        found = self._standing_of(call, host)
        call.tagged(self._host_json(call, found), of=_state(host, found.app))

    def _move(self, call: Call) -> None:
        call.json(lambda value: self._move_to(call, value["app"]))

    def _move_to(self, call: Call, app: str) -> None:
        host, claims = call.values["host"], self._claims
        found = self._standing_of(call, host)
        call.check_match(_state(host, found.app))
        if app != found.app:
            self._check(host, app, found)
        if claims is None:
            raise ClientFault(
                409,
                "hosts_not_kept",
                "in development the first app that names a host has it; take it out of the other "
                "manifest",
            )
        if call.is_dry_run or app == found.app:
            answer = {**self._host_json(call, found), "app": app}
            call.tagged(answer, of=_state(host, found.app))
            return
        note = self._audit.note_of(
            call, call.route.name, host, {"app": found.app}, {"app": app}, app=app
        )

        def keep(connection: "Connection", holder: str | None) -> None:
            call.check_match(_state(host, holder or found.app))
            note.keep(connection)

        def moved(fault: BaseException | None) -> None:
            if fault is not None:
                raise fault
            note.tell()
            self._catalog.refresh()  # routes to hosts are found again
            self._show(call)

        claims.move(host, app, keep, lambda fault: call.guard(lambda: moved(fault)))

    def _check(self, host: str, app: str, found: Standing) -> None:
        """Raises ClientFault if the app cannot have it."""
        if app not in found.others:
            raise ClientFault(
                409,
                "host_not_named",
                f"{app[:200]} does not name {host}: write it into `hosts` of its manifest first",
            )
        if found.is_given:
            raise ClientFault(
                409,
                "host_given",
                f"the config file (`apps`) gives {host} to {found.app}; change it there",
            )

    def _standing_of(self, call: Call, host: str) -> Standing:
        found = self._found(call)
        if host not in found:
            text = f"no app names the host {host[:253]}{meant(host, found)}"
            raise ClientFault(404, "host_not_found", text)
        return found[host]

    def _found(self, call: Call) -> dict[str, Standing]:
        """The hosts whose holder the caller may see, or another app that names them."""
        found = self._hosts().standing(call.now)
        return {
            each.host: each
            for each in found
            if call.sees(each.app) or any(call.sees(other) for other in each.others)
        }

    def _host_json(self, call: Call, found: Standing) -> _Json:
        since = self._claims.since.get(found.host) if self._claims is not None else None
        sees = call.sees(found.app)
        return {
            "host": found.host,
            "app": found.app if sees else "another app",
            "since": iso_moment(since) if since and sees else None,
            "isNamed": found.is_named,
            "isGiven": found.is_given,
            "manifest": self._manifest(call, found) if sees else None,
            "wantedBy": [other for other in found.others if call.sees(other)],
        }

    def _manifest(self, call: Call, found: Standing) -> str | None:
        """The file that names the host; for a faulty version, its folder."""
        if not found.is_named:
            return None
        active = self._catalog.newest(found.app, call.now)
        for each in self._catalog.all_of(found.app, call.now):
            if each.version == active:
                return str(each.source if isinstance(each, App) else each.folder)
        return None


def _state(host: str, app: str) -> _Json:
    return {"host": host, "app": app}
