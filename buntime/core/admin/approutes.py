"""The routes of apps: which there are, and actions on an app as a whole."""

from buntime.core.admin.route import (
    ANYTHING,
    COUNT,
    CURSOR,
    FLAG,
    LIMIT,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Body,
    Route,
    Schema,
    page,
)

_APP: Schema = {
    "type": "object",
    "required": ["app", "versions", "active", "status", "workers", "queued", "maintenance"],
    "properties": {
        "app": NAME,
        "versions": {"type": "array", "items": OR_NOTHING},
        "active": OR_NOTHING,
        "status": {
            "type": "string",
            "enum": ["active", "ephemeral", "idle", "static", "offline"],
            "description": "Of its workers; `static` needs none, `offline` has none now.",
        },
        "workers": COUNT,
        "queued": COUNT,
        "bootFailures": COUNT,
        "bootError": OR_NOTHING,
        "error": OR_NOTHING,  # why its active version cannot be served at all
        "maintenance": FLAG,
    },
}
_VERSION: Schema = {
    "type": "object",
    "required": ["version", "active", "folder", "error", "status", "workers", "lastError"],
    "properties": {
        "version": OR_NOTHING,
        "active": FLAG,
        "folder": TEXT,
        "error": OR_NOTHING,
        "status": TEXT,
        "workers": COUNT,
        "lastError": ANYTHING,
        "coldStart": ANYTHING,  # the last boot: how long it took, and its slowest imports
        "changedByOperator": ANYTHING,  # keys of its manifest
    },
}
_MAINTENANCE: Schema = {
    "type": "object",
    "required": ["app", "maintenance"],
    "properties": {"app": NAME, "maintenance": ANYTHING},
}
_ENDED: Schema = {
    "type": "object",
    "required": ["ended"],
    "properties": {"ended": {"type": "array", "items": TEXT}},
}
_CLOSING: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "message": {"type": "string", "minLength": 1, "maxLength": 1000},
        "retryAfterSeconds": {"type": "integer", "minimum": 1, "maximum": 604_800},
    },
}

APPS = (
    Route(
        method="GET",
        path="/api/apps",
        verb="apps:read",
        name="apps.list",
        summary="All apps: their versions, the active one, and the state of its workers.",
        query=(LIMIT, CURSOR),
        answers=(
            Answer(
                200,
                "One page, by name; `next` is the cursor of the next page.",
                page("apps", _APP),
            ),
        ),
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/apps/{app}",
        verb="apps:read",
        name="apps.show",
        summary="One app: each version with its manifest, its state, and its last error.",
        answers=(
            Answer(
                200,
                "Everything known about it.",
                {
                    "type": "object",
                    "required": ["app", "url", "active", "versions", "maintenance"],
                    "properties": {
                        "app": NAME,
                        "url": TEXT,
                        "active": OR_NOTHING,
                        "versions": {"type": "array", "items": _VERSION},
                        "maintenance": ANYTHING,
                    },
                },
            ),
        ),
        faults=(404,),
        has_tag=True,
    ),
    Route(
        method="POST",
        path="/api/apps/{target}/sleep",
        verb="workers:recycle",
        name="apps.sleep",
        summary="End the idle workers of an app, except those that `prewarm` keeps ready.",
        answers=(Answer(202, "The workers that end.", _ENDED),),
        faults=(404,),
    ),
    Route(
        method="GET",
        path="/api/apps/{app}/maintenance",
        verb="apps:read",
        name="apps.maintenance",
        summary="Whether an app is closed, and the message that visitors get.",
        answers=(Answer(200, "How it stands.", _MAINTENANCE),),
        faults=(404,),
        has_tag=True,
    ),
    Route(
        method="PUT",
        path="/api/apps/{app}/maintenance",
        verb="apps:deploy",
        name="apps.close",
        summary="Answer an app's visitors with 503, a message, and Retry-After.",
        body=Body(_CLOSING, required=False),
        answers=(Answer(200, "It is closed.", _MAINTENANCE),),
        faults=(404, 503),
        has_tag=True,
    ),
    Route(
        method="DELETE",
        path="/api/apps/{app}/maintenance",
        verb="apps:deploy",
        name="apps.open",
        summary="Let an app's visitors in again.",
        answers=(Answer(200, "It is open.", _MAINTENANCE),),
        faults=(404, 503),
        has_tag=True,
    ),
)
