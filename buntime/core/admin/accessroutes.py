"""The routes that describe the API itself, and who may do what."""

from buntime.core.access.rights import VERBS
from buntime.core.admin.route import (
    FLAG,
    NAME,
    OBJECT,
    OPEN,
    OR_NOTHING,
    TEXT,
    Answer,
    Param,
    Route,
)

_CHECK = {
    "type": "object",
    "required": ["check", "passes", "why"],
    "properties": {"check": TEXT, "passes": {"type": ["boolean", "null"]}, "why": TEXT},
}

_WHO = {"type": "string", "maxLength": 500}
_NAMES = {"type": "array", "items": TEXT}
_RULE = {
    "type": "object",
    "required": ["who", "do", "place"],
    "properties": {
        "who": _NAMES,
        "do": {"type": "string", "enum": ["allow", "deny"]},
        "apps": _NAMES,
        "paths": _NAMES,
        "methods": _NAMES,
        "place": TEXT,
    },
}

ACCESS = (
    Route(
        method="GET",
        path="/api/openapi.json",
        verb=OPEN,
        name="docs.openapi",
        summary="This description, as OpenAPI 3.1.",
        answers=(Answer(200, "The document.", OBJECT),),
    ),
    Route(
        method="GET",
        path="/api/docs",
        verb=OPEN,
        name="docs.page",
        summary="This description, as a page for people.",
        answers=(Answer(200, "The page.", TEXT, "text/html"),),
    ),
    Route(
        method="GET",
        path="/api/access/rules",
        verb="config:read",
        name="access.rules",
        summary="The access rules of the config file, in order.",
        answers=(
            Answer(
                200,
                "A condition left out covers everything; `place` is the line in the file.",
                {
                    "type": "object",
                    "required": ["rules"],
                    "properties": {"rules": {"type": "array", "items": _RULE}},
                },
            ),
        ),
    ),
    Route(
        method="GET",
        path="/api/access/explain",
        verb="apps:read",
        name="access.explain",
        summary="Explain why a request is allowed or denied, or whether a key may do something.",
        query=(
            Param("app", NAME, "Of which app.", required=True),
            Param(
                "path",
                {"type": "string", "maxLength": 2000, "pattern": "^(/|$)", "default": "/"},
                "The path, relative to the app's base.",
            ),
            Param(
                "method",
                {
                    "type": "string",
                    "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                    "default": "GET",
                },
                "The method of the request.",
            ),
            Param(
                "key",
                NAME,
                "The name of the key that the request carries; needs the right keys:read.",
            ),
            Param("user", _WHO, "The signed-in user."),
            Param(
                "roles", _WHO, "The user's roles, separated by commas; implies a signed-in user."
            ),
            Param("groups", _WHO, "The user's groups, likewise."),
            Param("address", _WHO, "The client address of the request."),
            Param(
                "right",
                {"type": "string", "enum": list(VERBS)},
                "Explain whether the key has this right for the app instead.",
            ),
        ),
        answers=(
            Answer(
                200,
                "Each check in order; `passes` is null for one that decides nothing by itself.",
                {
                    "type": "object",
                    "required": ["app", "isLetIn", "checks"],
                    "properties": {
                        "app": NAME,
                        "version": OR_NOTHING,
                        "isLetIn": FLAG,
                        "checks": {"type": "array", "items": _CHECK},
                    },
                },
            ),
        ),
        faults=(404,),
    ),
)
