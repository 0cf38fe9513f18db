"""When is what has changed in a folder to be acted on? Once nothing more changes there.

A deployment is many writes, and half of one is no app. So what has changed counts when it has been
quiet for a while, or has changed for so long that this will not come.

A file that an app writes itself again and again is no deployment: `Edits` tells it from one.
"""

from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

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
        """It has changed by `now`."""
        first, _ = self._times.get(who, (now, now))
        self._times[who] = first, now

    def take_due(self, now: float) -> list[T]:
        """Those to act on now; they are forgotten here."""
        due = [
            who
            for who, (first, last) in self._times.items()
            if now - last >= self._quiet_s or now - first >= self._longest_s
        ]
        for who in due:
            del self._times[who]
        return due


class Edit(Enum):
    """What a change of a file is."""

    COUNTS = "counts"  # it is to be acted on
    ONE_TOO_MANY = "one-too-many"  # the first that is not
    IGNORED = "ignored"


class Edits:
    """How often files have changed of late."""

    def __init__(self, *, most: int, within_s: float) -> None:
        """More than `most` changes of one file within so many seconds are no editing."""
        self._most = most
        self._within_s = within_s
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._ignored: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"Edits({len(self._times)} files, {sum(map(len, self._ignored.values()))} ignored)"

    def judge(self, app: str, file: str, now: float) -> "Edit":
        """What a change is; from one too many on the file is ignored for good."""
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
        """It is gone."""
        self._ignored.pop(app, None)
        for key in [key for key in self._times if key[0] == app]:
            del self._times[key]
