"""All that the catalog knows of one name: folders, versions, and which of them is active."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from buntime.core.apps.app import App, Fault
from buntime.core.apps.succession import Succession
from buntime.core.apps.versions import LATEST, choose
from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.appfolder import AppFolder, Listing, is_gone
from buntime.server.apps.releaselinks import alias_of


class Place(NamedTuple):
    """A folder that bears an app's name. `version` is None for a bare name: app or versions."""

    path: Path
    version: str | None
    root: Path  # the worker folder that it is in


class Named:
    """What was found of one name, and what came of it."""

    def __init__(self, succession: Succession) -> None:
        self.succession = succession
        self.places: list[Place] = []
        self.checked = 0  # the number of the check that looked for versions last
        self.versions: dict[str, Path] = {}
        self.active: str | None = None  # the one that a link `latest` leads to
        self.withheld: frozenset[str] = frozenset()  # those that ranges do not choose
        self.listings: dict[Path, Listing] = {}
        self.folders: dict[Path, AppFolder] = {}  # of versions that were asked for

    def __repr__(self) -> str:
        return f"Named({[place.path for place in self.places]})"

    def choose(self, spec: str | None) -> str | None:
        """The version that is meant."""
        return choose(self.versions, spec, active=self.active, withheld=self.withheld)

    def is_active(self, found: App | Fault, spec: str | None) -> bool:
        """Whether it is asked for as the active one."""
        is_default = spec is None or spec == LATEST
        return is_default and self.active is not None and found.version == self.active

    def take(self, found: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path, Path]]:
        """These are its versions now, of two equal ones the first.

        Yields the others: the version, the folder that is served, and the one that is not.
        """
        self.versions, self.active = {}, None
        served: dict[str, Path] = {}  # with `latest`, where that is an alias
        for version, path in found:
            if is_gone(path):
                continue
            first = served.setdefault(version, path)
            if first is not path:
                yield version, first, path
            elif version == LATEST and (alias := alias_of(path)) is not None:
                self.active = alias
            else:
                self.versions[version] = path
        if self.active not in self.versions:
            self.active = None
