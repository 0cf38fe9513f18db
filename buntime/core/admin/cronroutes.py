"""The routes of jobs: what is due, what has run, and running one at once."""

from buntime.core.admin.route import (
    COUNT,
    CURSOR,
    LIMIT,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Route,
    Schema,
    page,
)

_TIME = OR_NOTHING  # in RFC 3339
_RUN: Schema = {
    "type": "object",
    "required": ["due", "seconds", "result", "detail"],
    "properties": {
        "due": _TIME,
        "seconds": {"type": "number"},
        "result": {
            "type": "string",
            "enum": ["ok", "failed", "timeout", "cut", "overlap", "missed"],
        },
        "detail": TEXT,  # a status or an exit code
    },
}
_JOB: Schema = {
    "type": "object",
    "required": ["app", "version", "name", "schedule", "timezone", "next", "running", "runs"],
    "properties": {
        "app": NAME,
        "version": OR_NOTHING,
        "name": NAME,
        "schedule": TEXT,
        "timezone": TEXT,
        "path": OR_NOTHING,
        "method": OR_NOTHING,
        "run": {"type": "array", "items": TEXT},
        "overlap": TEXT,
        "timeoutSeconds": {"type": "number"},
        "catchUp": {"type": "boolean"},
        "cronOnly": {"type": "boolean"},
        "next": _TIME,
        "running": COUNT,
        "waiting": COUNT,
        "runs": {"type": "array", "items": _RUN},  # the newest first
    },
}
_LINE: Schema = {
    "type": "object",
    "properties": {"step": TEXT, "at": _TIME, "seconds": {"type": "number"}, "run": _RUN},
}

CRON = (
    Route(
        method="GET",
        path="/api/cron",
        verb="apps:read",
        name="cron.list",
        summary="The jobs of apps: when each is due next, and what has become of its last runs.",
        query=(LIMIT, CURSOR),
        answers=(
            Answer(
                200,
                "A page of them, by app and name; `next` is the cursor of the next one.",
                page(
                    "jobs",
                    _JOB,
                    unavailable={**OR_NOTHING, "description": "Why this runtime runs none."},
                ),
            ),
        ),
        filters=True,
    ),
    Route(
        method="POST",
        path="/api/apps/{app}/cron/{name}/run",
        verb="workers:recycle",
        name="cron.run",
        summary="Run a job now, whenever it is due.",
        answers=(
            Answer(
                202,
                "It runs; `GET /api/cron` tells how it went.",
                {
                    "type": "object",
                    "required": ["app", "name"],
                    "properties": {"app": NAME, "name": NAME},
                },
            ),
            Answer(
                200,
                "Where NDJSON is asked for: that it runs, again each 15 s, and how it went.",
                media="application/x-ndjson",
                items=_LINE,
            ),
        ),
        faults=(404, 409, 503),
    ),
)
