"""The routes of apps' logs."""

from buntime.core.admin.route import (
    CURSOR,
    FLAG,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Param,
    Route,
)

LINES_DEFAULT = 100
LINES_MAX = 10_000

LINE = {
    "type": "object",
    "required": ["seq", "time", "level", "event", "message"],
    "properties": {
        "seq": {"type": "integer", "minimum": 0},
        "time": TEXT,
        "level": {"type": "string", "enum": ["debug", "info", "warn", "error"]},
        "event": TEXT,
        "message": TEXT,
    },
}
_NUMBER = OR_NOTHING
_PAGE = {
    "type": "object",
    "required": ["lines", "next", "last"],
    "properties": {"lines": {"type": "array", "items": LINE}, "next": _NUMBER, "last": TEXT},
}

LOGS = (
    Route(
        method="GET",
        path="/api/logs",
        verb="logs:read",
        name="logs.list",
        summary=(
            "Output and requests of apps, and the runtime's log lines about them: the latest, or "
            "those since a point in time."
        ),
        query=(
            Param(
                "app",
                NAME,
                "Of an app, `shop`, of a plugin, `plugin:audit`, or of the runtime, `+runtime`.",
            ),
            Param("version", NAME, "Of one version of the app."),
            Param(
                "level",
                {"type": "string", "enum": ["debug", "info", "warn", "error"]},
                "Lines of this level and above.",
            ),
            Param("request", NAME, "Lines with this request id."),
            Param(
                "since",
                {"type": "string", "maxLength": 40},
                "Lines since a time, `2026-03-01T12:00:00Z`, or no older than `15m`.",
            ),
            Param("follow", FLAG, "Continue with new lines as they come; only for streams."),
            Param(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": LINES_MAX},
                "The maximum number of lines; with `follow`, of those that exist already.",
            ),
            CURSOR,
        ),
        answers=(
            Answer(200, "A page of lines.", _PAGE),
            Answer(200, "Each line as it comes.", None, "application/x-ndjson", items=LINE),
            Answer(200, "Each line as an event.", None, "text/event-stream", items=LINE),
        ),
        faults=(503,),
        filters=True,
    ),
)
