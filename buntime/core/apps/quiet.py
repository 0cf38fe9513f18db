"""Decides when a change in a folder takes effect: once nothing more changes there.

A deployment is many writes, and half of one is not an app. A change therefore counts once the
folder has been quiet for a while, or has kept changing for so long that it will not become quiet.

A file that an app itself keeps writing is not a deployment: `Edits` tells the two apart.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from buntime.core.values.enums import Enum

T = TypeVar("T", bound=Hashable)


class Quiet(Generic[T]):
    """Who has changed, until they are quiet."""

    def __init__(self, *, quiet_s: float, longest_s: float) -> None:
        self._quiet_s = quiet_s
        self._longest_s = longest_s
        self._times: dict[T, tuple[float, float]] = {}  # of the first change, and of the last

    def __repr__(self) -> str:
        return f"Quiet({list(self._times)})"

    def __len__(self) -> int:
        return len(self._times)

    def touch(self, who: T, now: float) -> None:
        """Note a change at `now`."""
        first, _ = self._times.get(who, (now, now))
        self._times[who] = first, now

    def take_due(self, now: float) -> list[T]:
        """Those that are due now; they are removed from here."""
        due = [
            who
            for who, (first, last) in self._times.items()
            if now - last >= self._quiet_s or now - first >= self._longest_s
        ]
        for who in due:
            del self._times[who]
        return due


class Edit(Enum):
    """How to treat a change of a file."""

    COUNTS = "counts"  # act on it
    ONE_TOO_MANY = "one-too-many"  # the first one to ignore
    IGNORED = "ignored"


class Edits:
    """How often files have changed recently."""

    def __init__(self, *, most: int, within_s: float) -> None:
        """More than `most` changes of one file within `within_s` seconds are not somebody's
        edits."""
        self._most = most
        self._within_s = within_s
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._ignored: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"Edits({len(self._times)} files, {sum(map(len, self._ignored.values()))} ignored)"

    def judge(self, app: str, file: str, now: float) -> "Edit":
        """How to treat a change. After one too many, the file is ignored for good."""
        if file in self._ignored.get(app, ()):
            return Edit.IGNORED
        times = self._times.setdefault((app, file), deque())
        times.append(now)
        while now - times[0] > self._within_s:
            times.popleft()
        if len(times) <= self._most:
            return Edit.COUNTS
        del self._times[app, file]
        self._ignored.setdefault(app, set()).add(file)
        return Edit.ONE_TOO_MANY

    def forget(self, app: str) -> None:
        """The app is gone."""
        self._ignored.pop(app, None)
        for key in [key for key in self._times if key[0] == app]:
            del self._times[key]
