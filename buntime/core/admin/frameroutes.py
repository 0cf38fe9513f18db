"""The routes of pages in the shell's frames: their scripts, tokens for their plugins, the menu."""

from buntime.core.access.frametokens import PATH_MAX_CHARS
from buntime.core.admin.route import (
    COUNT,
    NAME,
    OBJECT,
    OPEN,
    OR_NOTHING,
    TEXT,
    Answer,
    Body,
    Param,
    Route,
    Schema,
)
from buntime.core.plugins.shellmenu import ICON_PATH

_ENDS: Schema = {"seconds": COUNT, "expiresAt": TEXT}
_PLUGIN: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["plugin"],
    "properties": {"plugin": NAME},
}
_PLACE: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["plugin", "path"],
    "properties": {
        "plugin": NAME,
        "path": {"type": "string", "minLength": 1, "maxLength": PATH_MAX_CHARS},
    },
}

_ENTRY: Schema = {
    "type": "object",
    "required": ["plugin", "title", "icon", "href", "order", "items"],
    "properties": {
        "plugin": NAME,
        "title": {"description": "A text, or texts by language."},
        "icon": OR_NOTHING,
        "href": TEXT,
        "order": {"type": "number"},
        "items": {"type": "array", "items": OBJECT},
    },
}

FRAMES = (
    Route(
        method="GET",
        path="/api/menus",
        verb="apps:read",
        name="menus.list",
        summary="The shell's menu: entries of the plugins that the caller may open.",
        answers=(Answer(200, "By order, then title.", {"type": "array", "items": _ENTRY}),),
        filters=True,
    ),
    Route(
        method="GET",
        path=ICON_PATH,
        verb="apps:read",
        name="menus.icon",
        summary="The icon of an entry.",
        query=(
            Param("plugin", NAME, "whose it is", required=True),
            Param("icon", NAME, "its file, as the manifest names it", required=True),
        ),
        answers=(Answer(200, "The image.", TEXT, "image/svg+xml"),),
        faults=(404,),
        filters=True,
    ),
    Route(
        method="GET",
        path="/.well-known/buntime/{script}",
        verb=OPEN,
        name="frames.script",
        summary="The scripts for pages and shells: frame.js, bt-frame.js, and their types.",
        answers=(Answer(200, "The script.", TEXT, "text/javascript"),),
        faults=(404,),
        takes_any_query=True,
    ),
    Route(
        method="POST",
        path="/api/frames/tokens",
        verb="apps:open",
        name="frames.token",
        summary="A token for a plugin's routes, which its page in a frame uses for 5 minutes.",
        body=Body(_PLUGIN),
        answers=(
            Answer(
                200,
                "The token, for Authorization: Bearer.",
                {
                    "type": "object",
                    "required": ["token", *_ENDS],
                    "properties": {"token": TEXT, **_ENDS},
                },
            ),
        ),
        faults=(404,),
        filters=True,
        has_dry_run=False,
    ),
    Route(
        method="POST",
        path="/api/frames/urls",
        verb="apps:open",
        name="frames.url",
        summary="A URL below a plugin's base that is valid once, within 30 seconds.",
        body=Body(_PLACE),
        answers=(
            Answer(
                200,
                "The address.",
                {
                    "type": "object",
                    "required": ["url", *_ENDS],
                    "properties": {"url": TEXT, **_ENDS},
                },
            ),
        ),
        faults=(400, 404),
        filters=True,
        has_dry_run=False,
    ),
)
