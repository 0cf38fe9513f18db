"""How much there is of everything in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Extent(NamedTuple):
    """What happens in a run, and how often."""

    floods: Mapping[str, int]  # app -> requests at once, more than its queue takes
    kinds: frozenset[str] = frozenset()  # the only kinds of trouble; none: all
    rests: float = 1.0  # how many times as long clients rest as usual

    def has(self, kind: str) -> bool:
        """Whether a run has this kind of trouble."""
        return not self.kinds or kind in self.kinds


FULL = Extent({"flooded": 1300, "burst": 60})
# The queue of an app whose workers stay takes a thousand requests, which tests of the pool fill.
BRIEF = Extent({"burst": 20}, rests=2.0)
# What goes another way in development: code that changes, breaks and is loaded anew.
OF_CODE = BRIEF._replace(kinds=frozenset(("deploy", "break", "reload", "kill", "kill a plugin")))
