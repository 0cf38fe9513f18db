"""The successive states of the apps of one name, and which of them serves."""

from collections.abc import Iterable

from buntime.core.apps.app import App, Fault
from buntime.core.apps.stricter import tightened
from buntime.core.apps.versions import UNVERSIONED, select
from buntime.core.values.protocols import Protocol


class Rollout(Protocol):
    """Decides between an app that has never been loaded and the one that served before."""

    @property
    def revision(self) -> int:
        """Changes whenever `choose` might answer differently."""

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
    """What was last found for each version of one name, and what was last loaded."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._found: dict[str, App] = {}
        self._proven: dict[str, App] = {}  # as far as is known, see `_loaded`
        # By their keys: the serving app, the newer one, and the result for the two.
        self._last_tightened: dict[tuple[str, str], tuple[App, App, App]] = {}
        self._active: str | None = None  # the last active version, loaded ones first
        self._known: frozenset[str] | None = None  # the versions at the last look
        self._added: frozenset[str] = frozenset()  # versions that appeared after the first look

    def choose(
        self, found: App, versions: Iterable[str], spec: str | None, *, is_active: bool = False
    ) -> App:
        """What is there now, or what served before where that has never been loaded.

        What served before is an earlier state of the same version. If there is none and `found` was
        added later, it is another of the `versions` that `spec` allows: among versions that were
        there together, none came before. Where `found` was chosen as the active version
        (`is_active`), the version that was active before it comes first.
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
        """Another version that has served, to replace a faulty one.

        None where the faulty one has served: its edited manifest may say who must be kept out, so
        the state before it must not stay. Where its manifest could be read earlier, and it has not
        served, the other version keeps out everybody whom that manifest kept out.
        """
        version = fault.version or UNVERSIONED
        if self._loaded(version) is not None:
            return None
        versions = frozenset(versions)
        other = self._active_before(version, versions) if is_active else None
        other, read = other or self._other(version, versions, spec), self._found.get(version)
        return other if other is None or read is None else self._tightened(other, read)

    def _tightened(self, served: App, newer: App) -> App:
        """The serving app with no more access than the newer one allows: the same object each
        time."""
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
        """The app of a version that was last loaded, possibly only after it was found."""
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
