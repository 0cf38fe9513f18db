"""The most recent notes about each app, within limits whatever apps do.

There are limits on the notes per app, on apps, and on characters in total. When one is reached, the
app whose last note is the oldest loses its oldest note.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Recent(Generic[_T]):
    """By the key of an app, "shop@1.2.0", and by an id within it."""

    def __init__(self, *, each_max: int, apps_max: int, chars_max: int) -> None:
        self._each_max = each_max
        self._apps_max = apps_max
        self._chars_max = chars_max
        self._chars = 0
        # The notes of each app, and the apps, both ordered by their last change.
        self._apps: OrderedDict[str, OrderedDict[object, tuple[int, _T]]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Recent({len(self._apps)} apps, {self._chars} characters)"

    def get(self, key: str, number: object) -> _T | None:
        """The note with this id."""
        notes = self._apps.get(key)
        found = notes.get(number) if notes is not None else None
        return found[1] if found is not None else None

    def put(self, key: str, number: object, value: _T, chars: int) -> None:
        """Add the newest note, replacing any with the same id; `chars` is its size in
        characters."""
        notes = self._apps.setdefault(key, OrderedDict())
        self._apps.move_to_end(key)
        if number in notes:
            self._chars -= notes.pop(number)[0]
        notes[number] = (chars, value)
        self._chars += chars
        while len(notes) > self._each_max:
            self._drop_oldest(key)
        while len(self._apps) > self._apps_max or self._chars > self._chars_max:
            self._drop_oldest(next(iter(self._apps)))

    def of(self, keys: Iterable[str]) -> list[_T]:
        """All notes about these apps, for each app the newest first."""
        notes = (self._apps[key] for key in keys if key in self._apps)
        return [value for each in notes for _, value in reversed(each.values())]

    def keys_of(self, name: str) -> list[str]:
        """The keys of an app's versions that have notes: "shop", "shop@1.2.0"."""
        return [key for key in self._apps if key == name or key.rpartition("@")[0] == name]

    def keys(self) -> list[str]:
        return [*self._apps]

    def _drop_oldest(self, key: str) -> None:
        notes = self._apps[key]
        _, (chars, _) = notes.popitem(last=False)
        self._chars -= chars
        if not notes:
            del self._apps[key]
