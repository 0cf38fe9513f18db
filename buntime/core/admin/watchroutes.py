"""The routes for watching: the last hour in numbers, and what happens now."""

from buntime.core.admin.route import (
    COUNT,
    FLAG,
    NAME,
    OBJECT,
    OR_NOTHING,
    TEXT,
    Answer,
    Param,
    Route,
    Schema,
)

KINDS = ("stats", "apps", "workers", "plugins", "deploys", "menus", "attention")

_COUNTS: Schema = {"type": "array", "items": COUNT}
_TIMES: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
_SERIES: Schema = {
    "type": "object",
    "required": ["requests", "errors", "p50Ms", "p95Ms", "memoryBytes", "workers"],
    "properties": {
        "requests": _COUNTS,
        "errors": _COUNTS,
        "p50Ms": _TIMES,
        "p95Ms": _TIMES,
        "memoryBytes": _COUNTS,
        "workers": _COUNTS,
    },
}
_HOUR: Schema = {
    "type": "object",
    "required": ["stepSeconds", "end", "total", "apps"],
    "properties": {
        "stepSeconds": COUNT,
        "end": TEXT,
        "total": _SERIES,
        "apps": {"type": "object", "additionalProperties": _SERIES},
    },
}
# What changed: for `stats` the numbers, for others the name; without a name, load all again.
_EVENT: Schema = {
    "type": "object",
    "properties": {"app": OR_NOTHING, "plugin": NAME, "total": OBJECT, "apps": OBJECT},
}

WATCHING = (
    Route(
        method="GET",
        path="/api/history",
        verb="apps:read",
        name="history.show",
        summary="Requests, errors, times, memory and workers of the last hour, in points of 10 s.",
        query=(
            Param("app", NAME, "Only of this app."),
            Param("apps", {**FLAG, "default": True}, "0: only the total, which is cheaper."),
            Param(
                "step",
                {"type": "integer", "enum": [10, 20, 30, 60, 120, 300, 600], "default": 10},
                "The seconds that one point covers.",
            ),
        ),
        answers=(Answer(200, "The completed points, oldest first.", _HOUR),),
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/events",
        verb="apps:read",
        name="events.list",
        summary="Rates every two seconds, and changes of apps, workers, plugins and deploys.",
        query=(
            Param(
                "kinds",
                {"type": "string", "maxLength": 100, "pattern": "^[a-z,]*$"},
                f"Only these kinds, `stats,apps`; the kinds are {', '.join(KINDS)}.",
            ),
        ),
        answers=(
            Answer(
                200, "Each change as an event of its kind.", None, "text/event-stream", items=_EVENT
            ),
        ),
        faults=(503,),
        filters=True,
    ),
)
