"""What a metric is: its name, kind and scope, and its values.

Names follow the rules of Prometheus: a prefix, the unit at the end, `_total` for counters. In JSON
they are in camel case, without the prefix and `_total`: `requestDurationSeconds`.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

from buntime.core.telemetry.histogram import Histogram
from buntime.core.values.enums import Enum, StrEnum
from buntime.core.values.tuples import NamedTuple

Value = float | Mapping[str, float] | Histogram  # a mapping: by the values of the family's label
L = TypeVar("L", bound=StrEnum)  # the values of a label

_PREFIX = "buntime_"


class Kind(Enum):
    """What a family's numbers mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(Enum):
    """What each value is for."""

    APP = "app"  # each version of each app, and everything that belongs to none
    WORKERS = "workers"  # the same, except static sites, which have no workers
    PLUGIN = "plugin"  # each plugin that is installed
    HOOK = "hook"  # each hook of a plugin that was asked
    JOB = "job"  # each job of an app
    PROCESS = "process"  # each process of an app
    RUNTIME = "runtime"  # the whole runtime


LABELS: Mapping[Scope, tuple[str, ...]] = {
    Scope.APP: ("app", "version"),
    Scope.WORKERS: ("app", "version"),
    Scope.PLUGIN: ("plugin",),
    Scope.HOOK: ("plugin", "hook"),
    Scope.JOB: ("app", "job"),
    Scope.PROCESS: ("app", "process"),
    Scope.RUNTIME: (),
}


class Family(NamedTuple):
    """One metric. `label` distinguishes its values, besides the labels of its scope."""

    name: str
    kind: Kind
    scope: Scope
    meaning: str
    label: str | None = None

    @property
    def json_name(self) -> str:
        """`"buntime_queue_wait_seconds"` -> "queueWaitSeconds"."""
        words = self.name.removeprefix(_PREFIX).removesuffix("_total")
        return re.sub("_(.)", lambda match: match[1].upper(), words)


def values_to_json(values: Mapping[Family, Value]) -> dict[str, object]:
    """The values by their names in JSON."""
    return {family.json_name: _to_json(value) for family, value in values.items()}


def by_label(counts: Mapping[L, int]) -> dict[str, float]:
    """Counts by label value."""
    return {str(name): count for name, count in counts.items()}


def _to_json(value: Value) -> object:
    if isinstance(value, Histogram):
        return {"buckets": dict(value.buckets()), "sum": value.sum, "count": value.count}
    return value
