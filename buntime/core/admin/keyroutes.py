"""The routes of operators' keys."""

from buntime.core.access.keyring import IN_FILE, IN_STATE
from buntime.core.access.rights import GLOB_MAX_CHARS, ROLES, VERBS
from buntime.core.admin.route import (
    CURSOR,
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

KEY_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_MOMENT: Schema = OR_NOTHING
_RECORD: Schema = {
    "type": "object",
    "required": ["name", "hint", "roles", "apps", "standing", "created", "createdBy"],
    "properties": {
        "name": NAME,
        "hint": {**TEXT, "description": "How the key begins."},
        "roles": {"type": "array", "items": TEXT},
        "apps": {"type": "array", "items": TEXT},
        "origin": {"enum": [IN_STATE, IN_FILE]},
        "standing": {"enum": ["active", "expired", "revoked"]},
        "created": TEXT,
        "createdBy": TEXT,
        "expires": _MOMENT,
        "lastUsed": _MOMENT,
        "revoked": _MOMENT,
    },
}
_MADE: Schema = {
    **_RECORD,
    "required": [*_RECORD["required"], "key"],
    "properties": {
        **_RECORD["properties"],
        "key": {"type": ["string", "null"], "description": "Shown once; null in a dry run."},
    },
}
_WANTED: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "roles"],
    "properties": {
        "name": {"type": "string", "pattern": KEY_NAME_PATTERN, "maxLength": 64},
        "roles": {
            "type": "array",
            "minItems": 1,
            "maxItems": len(VERBS),
            "items": {"enum": [*ROLES, *VERBS]},
            "description": "Roles and individual rights.",
        },
        "apps": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": {
                "type": "string",
                "pattern": r"^[A-Za-z0-9@/._~*-]+$",
                "maxLength": GLOB_MAX_CHARS,
            },
            "description": 'Globs of app names, like "blog-*"; all apps if left out.',
        },
        "expires": {
            "type": ["string", "null"],
            "maxLength": 40,
            "description": 'A time, "2027-01-31T12:00:00Z", or a duration from now, "90d".',
        },
    },
}

KEYS = (
    Route(
        method="GET",
        path="/api/keys",
        verb="keys:read",
        name="keys.list",
        summary="The keys, without the secrets that open anything.",
        query=(LIMIT, CURSOR),
        answers=(
            Answer(
                200,
                "A page of keys, by name.",
                page("keys", _RECORD),
            ),
        ),
        faults=(503,),
        filters=True,
    ),
    Route(
        method="POST",
        path="/api/keys",
        verb="keys:write",
        name="keys.add",
        summary="Create a key with no more rights than the caller's own.",
        body=Body(_WANTED),
        answers=(
            Answer(200, "A dry run: what would be made.", _MADE),
            Answer(201, "The key, which is shown only now.", _MADE),
        ),
        faults=(403, 409, 503),
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/keys/{name}",
        verb="keys:read",
        name="keys.show",
        summary="One key, without the secret that opens anything.",
        answers=(Answer(200, "The key.", _RECORD),),
        faults=(403, 404, 503),
        filters=True,
        has_tag=True,
    ),
    Route(
        method="DELETE",
        path="/api/keys/{name}",
        verb="keys:write",
        name="keys.revoke",
        summary="Revoke a key, with immediate effect.",
        answers=(Answer(200, "The key in its present state.", _RECORD),),
        faults=(403, 404, 409, 503),
        filters=True,
        has_tag=True,
    ),
)
