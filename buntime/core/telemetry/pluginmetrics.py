"""Metrics of plugins, besides those about their workers, which they share with apps."""

from collections.abc import Iterable, Mapping

from buntime.core.telemetry.families import Family, Kind, Scope, Value, by_label, values_to_json
from buntime.core.telemetry.pluginmeters import PluginMeter
from buntime.core.values.tuples import NamedTuple

HOOK_SECONDS = Family(
    "buntime_plugin_hook_seconds",
    Kind.HISTOGRAM,
    Scope.HOOK,
    "from the call of a hook to its verdict or failure",
)
HOOK_VERDICTS = Family(
    "buntime_plugin_hook_verdicts_total",
    Kind.COUNTER,
    Scope.HOOK,
    "verdicts of hooks, by what they say",
    label="verdict",
)
HOOK_FAILURES = Family(
    "buntime_plugin_hook_failures_total",
    Kind.COUNTER,
    Scope.HOOK,
    "hooks that gave no verdict, by why",
    label="failure",
)
PLUGIN_UP = Family("buntime_plugin_up", Kind.GAUGE, Scope.PLUGIN, "1 while it serves, else 0")
PLUGIN_GENERATION = Family(
    "buntime_plugin_generation",
    Kind.GAUGE,
    Scope.PLUGIN,
    "the number of the generation that serves, higher at each start of any plugin; 0 for none",
)
PLUGIN_STARTS = Family(
    "buntime_plugin_starts_total",
    Kind.COUNTER,
    Scope.PLUGIN,
    "starts of its processes, by outcome",
    label="outcome",
)
PLUGIN_DEATHS = Family(
    "buntime_plugin_deaths_total",
    Kind.COUNTER,
    Scope.PLUGIN,
    "its processes that ended while they should have served, each followed by another start",
)
KEPT_VERDICTS = Family(
    "buntime_plugin_kept_verdicts_total",
    Kind.COUNTER,
    Scope.PLUGIN,
    "requests for which a cached verdict was looked up, by whether a valid one was found",
    label="found",
)
SERVICE_SECONDS = Family(
    "buntime_plugin_service_seconds",
    Kind.HISTOGRAM,
    Scope.PLUGIN,
    "from a call of one of its services to the end of the answer",
)
SERVICE_CALLS = Family(
    "buntime_plugin_service_calls_total",
    Kind.COUNTER,
    Scope.PLUGIN,
    "calls of its services, by outcome",
    label="result",
)
NOTICES = Family(
    "buntime_plugin_notices_total",
    Kind.COUNTER,
    Scope.PLUGIN,
    "notices for it, by whether they were sent, or dropped because it did not read",
    label="fate",
)

PLUGIN_FAMILIES = (
    HOOK_SECONDS, HOOK_VERDICTS, HOOK_FAILURES,
    PLUGIN_UP, PLUGIN_GENERATION, PLUGIN_STARTS, PLUGIN_DEATHS, KEPT_VERDICTS,
    SERVICE_SECONDS, SERVICE_CALLS, NOTICES,
)  # fmt: skip


class PluginRow(NamedTuple):
    """The values of one plugin, and of each of its hooks that was asked, by name."""

    name: str
    values: Mapping[Family, Value]
    hooks: Mapping[str, Mapping[Family, Value]]


def plugin_row(name: str, meter: PluginMeter, *, generation: int, is_up: bool) -> PluginRow:
    """The values of one plugin; `generation` is 0 if none has served."""
    values: dict[Family, Value] = {
        PLUGIN_UP: int(is_up),
        PLUGIN_GENERATION: generation,
        PLUGIN_STARTS: {"served": meter.starts_served, "failed": meter.starts_failed},
        PLUGIN_DEATHS: meter.deaths,
        KEPT_VERDICTS: {"yes": meter.kept_hits, "no": meter.kept_misses},
        SERVICE_SECONDS: meter.call_seconds.copy(),
        SERVICE_CALLS: by_label(meter.calls),
        NOTICES: {"sent": meter.notices_sent, "dropped": meter.notices_dropped},
    }
    hooks: dict[str, Mapping[Family, Value]] = {
        hook: {
            HOOK_SECONDS: hook_meter.seconds.copy(),
            HOOK_VERDICTS: dict(hook_meter.verdicts),
            HOOK_FAILURES: by_label(hook_meter.failures),
        }
        for hook, hook_meter in sorted(meter.hooks.items())
    }
    return PluginRow(name, values, hooks)


def plugins_to_json(rows: Iterable[PluginRow]) -> dict[str, object]:
    """By name; the `hooks` of each plugin by their names."""
    return {
        row.name: {
            **values_to_json(row.values),
            "hooks": {hook: values_to_json(values) for hook, values in row.hooks.items()},
        }
        for row in rows
    }
