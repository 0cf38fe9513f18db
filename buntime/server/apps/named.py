"""Everything the catalog knows of one name: folders, versions, and which of them is active."""

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
    root: Path  # the worker folder that holds it


class Named:
    """What was found for one name, and the result."""

    def __init__(self, succession: Succession) -> None:
        self.succession = succession
        self.places: list[Place] = []
        self.checked = 0  # number of the check that last looked for versions
        self.versions: dict[str, Path] = {}
        self.active: str | None = None  # the version that a link `latest` leads to
        self.withheld: frozenset[str] = frozenset()  # versions that ranges do not choose
        self.listings: dict[Path, Listing] = {}
        self.folders: dict[Path, AppFolder] = {}  # of versions that have been asked for

    def __repr__(self) -> str:
        return f"Named({[place.path for place in self.places]})"

    def choose(self, spec: str | None) -> str | None:
        """The version that `spec` refers to."""
        return choose(self.versions, spec, active=self.active, withheld=self.withheld)

    def is_active(self, found: App | Fault, spec: str | None) -> bool:
        """Whether `found` is the active version, and `spec` asks for the active one."""
        is_default = spec is None or spec == LATEST
        return is_default and self.active is not None and found.version == self.active

    def take(self, found: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Path, Path]]:
        """Make these its versions; of two equal ones, the first counts.

        Yields the others: the version, the folder that is served, and the one that is not.
        """
        self.versions, self.active = {}, None
        served: dict[str, Path] = {}  # includes `latest` if that is an alias
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
