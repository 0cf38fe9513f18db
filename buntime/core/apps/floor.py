"""What an operator's setting changed in one key of an app's manifest."""

from collections.abc import Mapping

from buntime.core.values.tuples import NamedTuple


class Floor(NamedTuple):
    """Values are as in JSON; the place is that of the operator's setting, or its reason."""

    key: str
    was: object
    now: object
    place: str

    def __str__(self) -> str:
        if self.key == "env":  # its values may be anything
            return f"{self.key} is set ({self.place})"
        return f"{self.key}: {_shown(self.now)} instead of {_shown(self.was)} ({self.place})"


def _shown(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
