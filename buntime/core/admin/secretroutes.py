"""Secrets of apps and plugins in the operators' API: names, origins and times, never a value."""

from buntime.core.admin.route import (
    CURSOR,
    FLAG,
    MOST,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Body,
    Method,
    Param,
    Route,
    Schema,
    page,
)

_SECRET: Schema = {
    "type": "object",
    "required": ["name", "origin", "setAt"],
    "properties": {
        "name": NAME,
        "origin": {"type": "string", "enum": ["state", "RUNTIME_SECRETS_DIR"]},
        "setAt": OR_NOTHING,  # in RFC 3339
        "fault": TEXT,  # why an app cannot get it
        "isUsed": FLAG,  # whether a manifest names it
    },
}
_LISTED = Answer(
    200,
    "The secrets that exist, and those that an app asks for and lacks.",
    page("secrets", _SECRET, holder=TEXT, missing={"type": "array", "items": NAME}),
)
_DONE: Schema = {
    "type": "object",
    "required": ["holder", "name"],
    "properties": {
        "holder": TEXT,
        "name": NAME,
        "replaced": FLAG,
        "isKnown": {**FLAG, "description": "Whether such an app exists."},
        "isUsed": {**FLAG, "description": "Whether a manifest of it names this secret."},
    },
}
_VALUE = Body(
    {
        "type": "object",
        "required": ["value"],
        # No type: an error must not show the value beside what is wrong with it.
        "properties": {"value": {}},
        "additionalProperties": False,
        "writeOnly": True,
    }
)
_PREVIEW = Param("preview", {"type": "boolean", "default": False}, "Those of the app's previews.")


def _routes(kind: str, place: str, reads: str) -> tuple[Route, ...]:
    """Routes for apps or plugins. Those for plugins need the right for the runtime as a whole."""
    query = (_PREVIEW,) if kind == "apps" else ()
    path = f"/api/{kind}/{{{place}}}/secrets"
    listed = Route(
        method="GET",
        path=path,
        verb=reads,
        name=f"{kind}.secrets",
        summary="The names of secrets, the source of each, and which are missing.",
        query=(*query, MOST, CURSOR),
        answers=(_LISTED,),
        has_tag=True,
    )
    shown = Route(
        method="GET",
        path=f"{path}/{{name}}",
        verb=reads,
        name=f"{kind}.secret",
        summary="The source of a secret and when it was set, without its value.",
        query=query,
        answers=(Answer(200, "The secret.", _SECRET),),
        faults=(404,),
        has_tag=True,
    )
    return (listed, shown, *(_write(kind, path, query, method) for method in ("PUT", "DELETE")))


def _write(kind: str, path: str, query: tuple[Param, ...], method: Method) -> Route:
    sets = method == "PUT"
    return Route(
        method=method,
        path=f"{path}/{{name}}",
        verb="secrets:write",
        name=f"{kind}.secrets.{'set' if sets else 'remove'}",
        summary="Set the value of a secret, and reload what uses it."
        if sets
        else "Delete the value of a secret.",
        query=query,
        body=_VALUE if sets else None,
        answers=(Answer(200, "Done.", _DONE),),
        faults=(409, 503) if sets else (404, 409, 503),
        has_tag=True,
    )


SECRETS = (*_routes("apps", "app", "apps:read"), *_routes("plugins", "plugin", "plugins:read"))
