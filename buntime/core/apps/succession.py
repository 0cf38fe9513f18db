"""The apps of one name as they were found, one after the other, and which of them serves."""

from collections.abc import Iterable
from typing import Protocol

from buntime.core.apps.app import App, Fault
from buntime.core.apps.stricter import tightened
from buntime.core.apps.versions import UNVERSIONED, select


class Rollout(Protocol):
    """Decides between an app that has never been loaded and the one that served before it."""

    @property
    def revision(self) -> int:
        """Another number as soon as `choose` may have another answer."""

    def is_proven(self, app: App) -> bool: ...
    def choose(self, new: App, proven: App) -> App: ...


class AtOnce:
    """A rollout that serves each change at once."""

    revision = 0

    def is_proven(self, app: App) -> bool:
        return False

    def choose(self, new: App, proven: App) -> App:
        return new


class Succession:
    """What was found last of each version of one name, and what was loaded last."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._found: dict[str, App] = {}
        self._proven: dict[str, App] = {}  # as far as is known, see `_loaded`
        # What was made of the one that serves and the newer one, by their keys.
        self._last_tightened: dict[tuple[str, str], tuple[App, App, App]] = {}
        self._active: str | None = None  # the version that was so last, loaded ones before others
        self._known: frozenset[str] | None = None  # versions, at the last look
        self._added: frozenset[str] = frozenset()  # those that came after the first look

    def choose(
        self, found: App, versions: Iterable[str], spec: str | None, *, is_active: bool = False
    ) -> App:
        """What is there now, or what served before if that has never been loaded.

        Beside another state of the same version, those of `versions` count that `spec` allows,
        where `found` was added beside them: of versions that were there together none was before.
        Where it was chosen as it `is_active`, the version that was so before it comes first.
        """
        versions = frozenset(versions)
        self._look_at(versions)
        version = found.version or UNVERSIONED
        before = self._loaded(version)
        self._found[version] = found
        if self._rollout.is_proven(found):
            self._last_tightened.clear()
            self._active = version if is_active else self._active
            return found
        if before is None and is_active:
            before = self._active_before(version, versions)
            self._active = version if before is None else self._active
        if before is None and version in self._added:
            before = self._other(version, versions, spec)
        if before is None:
            return found
        chosen = self._rollout.choose(found, before)
        return found if chosen is found else self._tightened(chosen, found)

    def stand_in(
        self, fault: Fault, versions: Iterable[str], spec: str | None, *, is_active: bool = False
    ) -> App | None:
        """Another version that has served, in the place of a faulty one.

        None where the faulty one has served: a manifest that was edited may say who is to be kept
        out, so the one before it does not hold on. Where it could be read before, and has not
        served, it keeps out whom it kept out then.
        """
        version = fault.version or UNVERSIONED
        if self._loaded(version) is not None:
            return None
        versions = frozenset(versions)
        other = self._active_before(version, versions) if is_active else None
        other, read = other or self._other(version, versions, spec), self._found.get(version)
        return other if other is None or read is None else self._tightened(other, read)

    def _tightened(self, served: App, newer: App) -> App:
        """The app that serves, and the access that the newer one leaves it: the same each time."""
        where = served.key, newer.key
        last = self._last_tightened.get(where)
        if last is None or last[0] is not served or last[1] is not newer:
            last = self._last_tightened[where] = served, newer, tightened(served, newer)
        return last[2]

    def _look_at(self, versions: frozenset[str]) -> None:
        if self._known is not None:
            self._added = (self._added | (versions - self._known)) & versions
        self._known = versions

    def _loaded(self, version: str) -> App | None:
        """The app of a version that was loaded last: maybe only since it was found."""
        found = self._found.get(version)
        if found is not None and self._rollout.is_proven(found):
            self._proven[version] = found
        return self._proven.get(version)

    def _active_before(self, version: str, versions: frozenset[str]) -> App | None:
        before = self._active
        is_other = before is not None and before != version and before in versions
        return self._loaded(before) if before is not None and is_other else None

    def _other(self, version: str, versions: Iterable[str], spec: str | None) -> App | None:
        loaded = {each: self._loaded(each) for each in versions if each != version}
        chosen = select((each for each, app in loaded.items() if app is not None), spec)
        return None if chosen is None else loaded[chosen]
