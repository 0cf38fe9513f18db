"""The routes of plugins: what there is, the state of each, and what operators do to them."""

from buntime.core.admin.deployroutes import DEPLOY, PROGRESS
from buntime.core.admin.route import (
    ANYTHING,
    COUNT,
    CURSOR,
    FLAG,
    MOST,
    NAME,
    OBJECT,
    OR_NOTHING,
    TEXT,
    Answer,
    Body,
    Param,
    Route,
    Schema,
    page,
)

_PATH = "/api/plugins/{plugin}"
_TEXTS: Schema = {"type": "array", "items": TEXT}
_SWITCHED = (
    Answer(
        202,
        "The state of the plugin now; the rest happens in the background.",
        {
            "type": "object",
            "required": ["name", "state"],
            "properties": {"name": NAME, "state": TEXT, "why": ANYTHING},
        },
    ),
)
_OPTION: Schema = {
    "type": "object",
    "required": ["name", "value", "origin", "schema", "isSecret"],
    "properties": {
        "name": NAME,
        "value": ANYTHING,  # "********" for a password
        # "an operator (key laptop) at ...", "env NAME", a line of the config file, "default"
        "origin": TEXT,
        "schema": OBJECT,  # as in the manifest
        "isSecret": FLAG,
    },
}
_HOOK: Schema = {
    "type": "object",
    "required": ["asked", "seconds", "verdicts", "failures"],
    "properties": {
        "asked": COUNT,
        "seconds": {"type": "number"},  # in total
        "verdicts": OBJECT,
        "failures": OBJECT,
    },
}
_PLUGIN: Schema = {
    "type": "object",
    "required": ["name", "state", "why", "enabled", "hooks", "hookCounts", "options", "menus"],
    "properties": {
        "name": NAME,
        "version": OR_NOTHING,
        "state": TEXT,
        "why": OR_NOTHING,
        "isStarting": FLAG,  # new code has still to load, perhaps beside what serves
        "enabled": FLAG,
        "enabledBy": TEXT,
        "stage": OR_NOTHING,
        "guards": FLAG,
        "base": OR_NOTHING,
        # Do its pages share the origin that operators sign in at? Who decided that, if not the
        # manifest, which can only ask for it?
        "frame": {
            "type": "object",
            "properties": {"trusted": FLAG, "asked": FLAG, "origin": OR_NOTHING},
        },
        "generation": {"type": ["integer", "null"]},
        "hooks": _TEXTS,
        "hookCounts": {"type": "object", "additionalProperties": _HOOK},
        "services": OBJECT,
        "uses": _TEXTS,
        "dependencies": OBJECT,
        "menus": {"type": "array", "items": OBJECT},
        "options": {"type": "array", "items": _OPTION},
        "folder": TEXT,
        "isBundled": FLAG,
        "isInstalled": FLAG,
        "counts": OBJECT,
    },
}
_SET = Answer(
    200,
    "The options are in effect.",
    {
        "type": "object",
        "required": ["name", "state", "why", "options"],
        "properties": {
            "name": NAME,
            "state": TEXT,
            "why": OR_NOTHING,
            "options": {"type": "array", "items": _OPTION},
        },
    },
)


def _act(action: str, summary: str, faults: tuple[int, ...] = (404,)) -> Route:
    return Route(
        method="POST",
        path=f"{_PATH}/{action}",
        verb="plugins:write",
        name=f"plugins.{action}",
        summary=summary,
        answers=_SWITCHED,
        faults=faults,
        has_tag=True,
    )


PLUGINS = (
    Route(
        method="GET",
        path="/api/plugins",
        verb="plugins:read",
        name="plugins.list",
        summary="All plugins, and the state of each.",
        query=(MOST, CURSOR),
        answers=(Answer(200, "What there is.", page("plugins", OBJECT)),),
    ),
    Route(
        method="GET",
        path=_PATH,
        verb="plugins:read",
        name="plugins.show",
        summary="One plugin: its state, hooks with counts and times, menus, options.",
        answers=(Answer(200, "The plugin.", _PLUGIN),),
        faults=(404,),
        has_tag=True,
    ),
    Route(
        method="PUT",
        path=_PATH,
        verb="plugins:write",
        name="plugins.install",
        summary="Install a plugin from an archive, or replace an installed one.",
        query=(
            Param(
                "enabled",
                {**FLAG, "default": True},
                "0: install it disabled, so that options can be set first.",
            ),
        ),
        body=Body(
            None,
            (
                "application/gzip",
                "application/zip",
                "application/octet-stream",
                "multipart/form-data",
            ),
        ),
        answers=(
            Answer(201, "It serves.", DEPLOY),
            Answer(200, "It is already there with this content, or this is a dry run.", DEPLOY),
            PROGRESS,
        ),
        faults=(400, 403, 409, 415, 422, 500, 503, 507),
        has_tag=True,
    ),
    Route(
        method="DELETE",
        path=_PATH,
        verb="plugins:write",
        name="plugins.remove",
        summary="Remove an installed plugin; its data stay.",
        query=(
            Param(
                "confirm",
                NAME,
                "The plugin's name, required if it is a guard: removing it opens what it covers.",
            ),
        ),
        answers=(
            Answer(
                200,
                "It is removed; its files are deleted after its last process has ended.",
                {
                    "type": "object",
                    "required": ["name", "removed"],
                    "properties": {"name": NAME, "removed": FLAG},
                },
            ),
        ),
        faults=(403, 404, 409, 500, 507),
        has_tag=True,
    ),
    Route(
        method="PUT",
        path=f"{_PATH}/options",
        verb="plugins:write",
        name="plugins.options",
        summary="Set options by name, null resets one; the plugin is then reloaded.",
        # No more is said here: an error must not show a password beside what is wrong with it.
        body=Body({"description": "A mapping of option names to values."}),
        answers=(_SET,),
        faults=(404, 409, 422),
        has_tag=True,
    ),
    _act("reload", "Reload a plugin: the new code starts beside the old.", (404, 409)),
    _act("enable", "Enable a plugin."),
    _act("disable", "Disable a plugin."),
    _act("reset", "Drop what operators have set, so that the config file and the manifest count."),
)
