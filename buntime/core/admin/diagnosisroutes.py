"""The routes for finding faults: attention, errors, autopsies, settings in effect."""

from buntime.core.admin.attention import LEVELS
from buntime.core.admin.route import (
    ANYTHING,
    COUNT,
    FLAG,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Param,
    Route,
    Schema,
)
from buntime.core.telemetry.meters import Cause

_NUMBER: Schema = {"type": "number"}
_ITEM: Schema = {
    "type": "object",
    "required": ["level", "code", "app", "text", "hint", "command", "href"],
    "properties": {
        "level": {"type": "string", "enum": [*LEVELS]},
        "code": NAME,
        "app": OR_NOTHING,
        "text": TEXT,
        "hint": OR_NOTHING,
        "command": OR_NOTHING,
        "href": OR_NOTHING,
    },
}
_ERROR: Schema = {
    "type": "object",
    "required": ["id", "kind", "version", "message", "count", "firstAt", "lastAt", "stack"],
    "properties": {
        "id": NAME,
        "kind": {"type": "string", "enum": ["boot", "request"]},
        "version": OR_NOTHING,
        "message": TEXT,
        "where": OR_NOTHING,
        "count": COUNT,
        "firstAt": _NUMBER,
        "lastAt": _NUMBER,
        "requestId": OR_NOTHING,
        "stack": OR_NOTHING,
    },
}
_AUTOPSY: Schema = {
    "type": "object",
    "required": ["worker", "version", "at", "cause", "planned", "why", "stack"],
    "properties": {
        "worker": NAME,
        "pid": COUNT,
        "version": OR_NOTHING,
        "at": _NUMBER,
        "cause": {"type": "string", "enum": [cause.value for cause in Cause]},
        "planned": FLAG,
        "why": TEXT,
        "ageSeconds": _NUMBER,
        "requestCount": COUNT,
        "requestsLost": COUNT,
        "stack": OR_NOTHING,
    },
}
_SETTING: Schema = {
    "type": "object",
    "required": ["key", "value", "origin", "place", "was", "meaning"],
    "properties": {
        "key": NAME,
        "value": ANYTHING,
        "origin": {"type": "string", "enum": ["default", "manifest", "operator"]},
        "place": OR_NOTHING,
        "was": ANYTHING,
        "meaning": TEXT,
    },
}


def _list_of(key: str, entry: Schema, **more: Schema) -> Schema:
    fields = {**more, key: {"type": "array", "items": entry}}
    return {"type": "object", "required": [*fields], "properties": fields}


def _of_app(what: str, summary: str, meaning: str, schema: Schema) -> Route:
    return Route(
        method="GET",
        path=f"/api/apps/{{app}}/{what}",
        verb="apps:read",
        name=f"apps.{what}",
        summary=summary,
        query=(Param("version", NAME, "Only of this version."),),
        answers=(Answer(200, meaning, schema),),
        faults=(404, 409) if what == "settings" else (404,),
    )


DIAGNOSIS = (
    Route(
        method="GET",
        path="/api/attention",
        verb="apps:read",
        name="attention.list",
        summary="What needs attention, in plain sentences, with what to do about it.",
        answers=(Answer(200, "The most severe first.", _list_of("items", _ITEM)),),
        filters=True,
    ),
    _of_app(
        "errors",
        "The latest errors of an app by kind, with the count and the last stack of each.",
        "Newest first.",
        _list_of("errors", _ERROR, app=NAME),
    ),
    _of_app(
        "autopsies",
        "Why workers of an app ended or were replaced, with stacks.",
        "Newest first.",
        _list_of("autopsies", _AUTOPSY, app=NAME),
    ),
    _of_app(
        "settings",
        "Each manifest key of an app: the value in effect, and where it comes from.",
        "The settings of the active version, or of the requested one.",
        _list_of("settings", _SETTING, app=NAME, version=OR_NOTHING, source=OR_NOTHING),
    ),
)
