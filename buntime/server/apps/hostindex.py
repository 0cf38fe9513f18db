"""Knows which app has which host, and checks whether that has changed.

An app's hosts are in the manifest of the version that serves requests without a pin. A request for
a new host names no app, so the index must know the hosts of all apps. That costs three `stat` calls
an app, and a look at each app whose folder or manifest has changed:

- `look` is called for the first request of an edition of the catalog, once a second in production.
- It compares at most _COMPARED_MAX apps, which takes 1 ms; the next look continues after them. With
  1000 apps, a changed `hosts` is seen within 8 s; with 128, at once. An app that was added or
  removed is seen at once, however many there are.
- What has changed so lately that its time would not show another change is looked at again.
- A faulty app has the hosts that it had, and those that its manifest names, if they can be read:
  requests for them are answered with its fault, rather than by another app.

Used on the loop's thread only.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from buntime.core.apps.app import App, FaultyApp
from buntime.core.apps.floors import Floors
from buntime.core.apps.hosts import Dispute, HostTable
from buntime.core.apps.router import Target
from buntime.core.errors import ClientFault, ManifestError
from buntime.core.telemetry.records import Tell
from buntime.core.values.filetimes import is_settled
from buntime.core.values.protocols import Protocol
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.catalog import Catalog

_COMPARED_MAX = 128  # apps in one look
_LOOKED_AT_MAX = 32  # of them, apps to read again because they may have changed: 0.2 ms each


class Apps(Protocol):
    """The part of the catalog that is needed here."""

    @property
    def folders(self) -> Mapping[str, Sequence[Path]]:
        """The folders that bear each name; if two apps name one host, the first has it."""

    @property
    def floors(self) -> Floors:
        """The operators' settings for apps; new ones may mean other hosts."""

    def find(self, name: str, spec: str | None, now: float) -> App: ...
    def is_settled(self, app: App) -> bool: ...


class Claims(Protocol):
    """Which app had each host first."""

    @property
    def holders(self) -> Mapping[str, str]: ...
    def follow(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the known holders change."""

    def note(self, holders: Mapping[str, str]) -> None:
        """Record these as the present holders."""

    def waits(self, then: Callable[[], None]) -> bool:
        """Whether it is not known yet; then `then` is called once it is, or will not be soon."""


class _Seen(NamedTuple):
    """What shows that an app's hosts are unchanged; if `states` is None, nothing does."""

    paths: tuple[Path, ...]
    states: tuple[tuple[int, int, int], ...] | None


_UNSEEN = _Seen((), None)


class Standing(NamedTuple):
    """Which app has a host, for operators."""

    host: str
    app: str  # that has the host
    is_named: bool  # whether the app names it now; if not, it is kept for the app
    is_given: bool  # whether the config file gives it to the app
    others: tuple[str, ...]  # apps that name it too


class HostIndex:
    """The hosts of the apps of a catalog."""

    def __init__(
        self,
        apps: Apps,
        *,
        warn: Tell,
        wall_ns: Callable[[], int] = time.time_ns,
        operators: str | None = None,
    ) -> None:
        """`warn` gets each host that two apps name, once, and each app that names the host
        `operators`, which belongs to no app."""
        self.table = HostTable()
        self._apps = apps
        self._warn = warn
        self._wall_ns = wall_ns
        self._folders: Mapping[str, Sequence[Path]] = {}  # what `_names` was made from
        self._names: list[str] = []
        self._floors = apps.floors
        self._hosts: dict[str, tuple[str, ...]] = {}
        self._seen: dict[str, _Seen] = {}
        self._next = 0  # index in `_names` of the app compared last; the next look begins after it
        self._warned_of: set[Dispute] = set()
        self._operators = operators
        self._would_be: set[str] = set()  # apps that name the operators' host
        self._claims: Claims | None = None

    def __repr__(self) -> str:
        return f"HostIndex({self.table!r} of {len(self._names)} apps)"

    def keep(self, claims: Claims) -> None:
        """Let an app that had a host first keep it, and record in `claims` who has which."""
        self._claims = claims
        claims.follow(self._make_table)

    def waits(self, then: Callable[[], None]) -> bool:
        """Whether it is not known yet which app had a host first, see `Claims`."""
        return self._claims is not None and self._claims.waits(then)

    def look(self, now: float) -> HostTable:
        """The present hosts, the same table if none changed. `now` is in monotonic seconds."""
        is_other = self._folders is not self._apps.folders
        if is_other:
            self._take_names(self._apps.folders)
        if self._floors is not self._apps.floors:
            self._floors, is_other = self._apps.floors, True
            self._seen.clear()
        suspects = self._suspects()
        new = [name for name in self._names if name not in self._seen]
        changed = [self._read(name, now) for name in (*new, *suspects)]
        if is_other or any(changed):
            self._make_table()
        return self.table

    def standing(self, now: float) -> list[Standing]:
        """All hosts that an app names or has had, sorted, as known after one `look`.

        That compares at most _COMPARED_MAX apps: a change in another one may not show yet.
        """
        self.look(now)
        had = self._claims.holders if self._claims is not None else {}
        wanted: dict[str, list[str]] = {}
        for name in self._names:
            for host in self._hosts.get(name, ()):
                wanted.setdefault(host, []).append(name)
        standings = []
        for host in sorted(wanted.keys() | had.keys()):
            app = self.table.holders.get(host) or had[host]
            names = wanted.get(host, [])
            is_given = self._floors.says(app, "hosts")
            others = tuple(name for name in names if name != app)
            standings.append(Standing(host, app, app in names, is_given, others))
        return standings

    def _make_table(self) -> None:
        self.table = HostTable(
            ((name, self._hosts.get(name, ())) for name in self._names),
            given=[name for name in self._names if self._floors.says(name, "hosts")],
            had=self._claims.holders if self._claims is not None else {},
        )
        self._tell_of_disputes()
        self._tell_of_operators_host()
        if self._claims is not None:
            self._claims.note(self.table.holders)

    def _take_names(self, folders: Mapping[str, Sequence[Path]]) -> None:
        before, self._folders = self._folders, folders
        self._names = list(folders)
        for name in before.keys() - folders.keys():
            self._hosts.pop(name, None)
        moved = [name for name in self._seen if before.get(name) != folders.get(name)]
        for name in moved:
            del self._seen[name]

    def _suspects(self) -> list[str]:
        """Those of the next apps in turn whose hosts may have changed."""
        suspects: list[str] = []
        for _ in range(min(_COMPARED_MAX, len(self._names))):
            self._next = (self._next + 1) % len(self._names)
            seen = self._seen.get(self._names[self._next])
            if seen is not None and (seen.states is None or seen.states != _states(seen.paths)):
                suspects.append(self._names[self._next])
                if len(suspects) == _LOOKED_AT_MAX:
                    break
        return suspects

    def _read(self, name: str, now: float) -> bool:
        """Read the app's hosts; returns whether they have changed."""
        before, since_ns = self._hosts.get(name, ()), self._wall_ns()
        self._seen[name] = _UNSEEN
        try:
            app = self._apps.find(name, None, now)
        except FaultyApp as exc:
            hosts = tuple(dict.fromkeys((*before, *exc.fault.hosts)))
        except ClientFault:
            hosts = ()
        else:
            hosts = app.manifest.hosts
            if self._apps.is_settled(app):
                self._seen[name] = _see((*self._folders[name], app.source, app.dir), since_ns)
        self._hosts[name] = hosts
        return hosts != before

    def _tell_of_operators_host(self) -> None:
        if self._operators is None:
            return
        for name in self._names:
            if self._operators in self._hosts.get(name, ()) and name not in self._would_be:
                self._would_be.add(name)
                self._warn(
                    "host.operators",
                    "an app names RUNTIME_ADMIN_HOST, which is for operators and no app; "
                    "take it out of its manifest",
                    host=self._operators,
                    app=name,
                )

    def _tell_of_disputes(self) -> None:
        for dispute in self.table.disputes:
            if dispute not in self._warned_of:
                self._warned_of.add(dispute)
                self._warn(
                    "host.disputed",
                    "an app names another one's host; take it out of its manifest, or give it to "
                    "the app in the config file",
                    host=dispute.host,
                    served=dispute.app,
                    ignored=dispute.other,
                )


def _see(paths: tuple[Path, ...], since_ns: int) -> _Seen:
    """The state of `paths`, if unchanged for so long that any further change will show."""
    states = _states(paths)
    is_at_rest = states is not None and all(
        is_settled(changed_ns, since_ns) for _, changed_ns, _ in states
    )
    return _Seen(paths, states if is_at_rest else None)


def _states(paths: tuple[Path, ...]) -> tuple[tuple[int, int, int], ...] | None:
    """For each path its inode, mtime in ns and size; None if one is missing."""
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return None
    return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)


def check_default(catalog: Catalog, default: Target | None, warn: Tell, now: float) -> None:
    """Warn if there is no such app for the hosts that no app has."""
    if default is None:
        return
    try:
        catalog.find(default.name, default.spec, now)
    except ClientFault as exc:
        warn(
            "app.default_missing",
            "RUNTIME_DEFAULT_APP names no app; name another one, or add it",
            error=str(exc),
        )
    except ManifestError:
        pass  # reported like any fault of an app
