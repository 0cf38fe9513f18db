"""The routes of caches: what the runtime keeps to be fast, and can rebuild."""

from buntime.core.admin.route import COUNT, FLAG, NAME, TEXT, Answer, Body, Route, Schema

KINDS = ("verdicts", "interpreters", "environments")

_CACHE: Schema = {
    "type": "object",
    "required": ["name", "entries", "bytes", "meaning"],
    "properties": {
        "name": {"type": "string", "enum": [*KINDS]},
        "entries": COUNT,
        "bytes": COUNT,
        "meaning": TEXT,
    },
}
_FREED: Schema = {
    "type": "object",
    "required": ["purged", "freedBytes"],
    "properties": {
        "purged": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "entries", "bytes"],
                "properties": {"name": NAME, "entries": COUNT, "bytes": COUNT},
            },
        },
        "freedBytes": COUNT,
        "isDryRun": FLAG,
    },
}

CACHES = (
    Route(
        method="GET",
        path="/api/caches",
        verb="config:read",
        name="caches.list",
        summary="The caches, their sizes, and entries that nothing uses any more.",
        answers=(
            Answer(
                200,
                "Each cache, with what a purge would delete.",
                {
                    "type": "object",
                    "required": ["caches"],
                    "properties": {"caches": {"type": "array", "items": _CACHE}},
                },
            ),
        ),
        faults=(500,),
    ),
    Route(
        method="POST",
        path="/api/caches/purge",
        verb="config:write",
        name="caches.purge",
        summary="Empty all caches, or those that are named.",
        body=Body(
            {
                "type": "object",
                "properties": {
                    "caches": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "enum": [*KINDS]},
                    }
                },
                "additionalProperties": False,
            },
            required=False,
        ),
        answers=(Answer(200, "What was deleted, or would be.", _FREED),),
        faults=(500,),
    ),
)
