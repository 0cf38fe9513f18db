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
        summary="The jobs of apps: when each is due next, and how its last runs ended.",
        query=(LIMIT, CURSOR),
        answers=(
            Answer(
                200,
                "One page, by app and name; `next` is the cursor of the next page.",
                page(
                    "jobs",
                    _JOB,
                    unavailable={**OR_NOTHING, "description": "Why this runtime runs no jobs."},
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
        summary="Run a job now, independent of its schedule.",
        answers=(
            Answer(
                202,
                "The job runs; `GET /api/cron` reports how it ends.",
                {
                    "type": "object",
                    "required": ["app", "name"],
                    "properties": {"app": NAME, "name": NAME},
                },
            ),
            Answer(
                200,
                "As NDJSON: that the job runs, repeated every 15 s, then how it ended.",
                media="application/x-ndjson",
                items=_LINE,
            ),
        ),
        faults=(404, 409, 503),
    ),
)
