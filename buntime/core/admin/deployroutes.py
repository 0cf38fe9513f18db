"""The routes of deploys; see core/deploys/ for what they do."""

from buntime.core.admin.route import (
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
    page,
)

_FAILED = {
    "type": "object",
    "properties": {"code": TEXT, "message": TEXT},
}
DEPLOY = {
    "type": "object",
    "required": ["id", "kind", "app", "version", "state", "step", "steps"],
    "properties": {
        "id": NAME,
        "kind": {"type": "string", "enum": ["deploy", "activate", "rollback", "install"]},
        "app": NAME,
        "version": TEXT,
        "by": TEXT,
        "state": {"type": "string", "enum": ["running", "done", "failed"]},
        "step": TEXT,
        "steps": {"type": "array", "items": OBJECT},
        "url": TEXT,
        "failed": TEXT,
        "error": _FAILED,
        "stack": OR_NOTHING,
        "log": {"type": "array", "items": TEXT},
        "lines": {"type": "array", "items": TEXT},
    },
}
_LINE = {
    "type": "object",
    "properties": {"step": TEXT, "at": TEXT, "line": TEXT, "failed": TEXT, "error": _FAILED},
}
PROGRESS = Answer(
    200,
    "The progress, one line per step; the last line says how it ended.",
    media="application/x-ndjson",
    items=_LINE,
)
_DONE = Answer(200, "It is done.", DEPLOY)
_RAN = (_DONE, PROGRESS)
_REFUSED = (400, 403, 404, 409, 422, 500, 502, 503, 507)
_VERSION = "/api/apps/{app}/versions/{version}"

DEPLOYS = (
    Route(
        method="PUT",
        path=_VERSION,
        verb="apps:deploy",
        name="deploys.put",
        summary="Deploy an archive as a version of an app, and activate it.",
        query=(
            Param(
                "replace",
                {**FLAG, "default": False},
                "Allow it to replace a version with different content.",
            ),
            Param(
                "ifChanged",
                {**FLAG, "default": False},
                "Do nothing if the active version has this content, by Content-Digest.",
            ),
            Param("preview", NAME, "Deploy it as this preview, whatever the version."),
            Param("ttl", NAME, "How long the preview lasts; 7d by default."),
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
        answers=(Answer(201, "The version is active.", DEPLOY), *_RAN),
        faults=(*_REFUSED, 413, 415),
        has_tag=True,  # the app's
    ),
    Route(
        method="POST",
        path=f"{_VERSION}/activate",
        verb="apps:deploy",
        name="deploys.activate",
        summary="Activate a version, once a worker has loaded it.",
        answers=_RAN,
        faults=_REFUSED,
        has_tag=True,  # the app's
    ),
    Route(
        method="POST",
        path="/api/apps/{app}/rollback",
        verb="apps:deploy",
        name="deploys.rollback",
        summary="Activate the previous version, or one by a range, which skips the present one.",
        answers=_RAN,
        faults=_REFUSED,
        has_tag=True,  # the app's
    ),
    Route(
        method="DELETE",
        path=_VERSION,
        verb="apps:remove",
        name="deploys.remove",
        summary="Remove a deployed version that is not active.",
        answers=(
            Answer(
                200,
                "It is removed; its files are deleted after its last worker has ended.",
                {
                    "type": "object",
                    "required": ["app", "version"],
                    "properties": {"app": NAME, "version": TEXT, "releases": COUNT},
                },
            ),
        ),
        faults=(403, 404, 409, 500),
        has_tag=True,  # the app's
    ),
    Route(
        method="GET",
        path=f"{_VERSION}/archive",
        verb="apps:deploy",
        name="deploys.archive",
        summary="The files of a deployed version, as an archive.",
        answers=(Answer(200, "The archive.", media="application/gzip"),),
        faults=(400, 403, 404, 500, 507),
    ),
    Route(
        method="DELETE",
        path="/api/apps/{app}",
        verb="apps:remove",
        name="deploys.removeAll",
        summary="Remove all deployed versions of an app, including the active one.",
        answers=(
            Answer(
                200,
                "They are removed; their files are deleted after their last worker has ended.",
                {
                    "type": "object",
                    "required": ["app", "versions"],
                    "properties": {"app": NAME, "versions": {"type": "array", "items": TEXT}},
                },
            ),
        ),
        faults=(403, 404, 409, 500),
        has_tag=True,  # the app's
    ),
    Route(
        method="GET",
        path="/api/deploys",
        verb="apps:read",
        name="deploys.list",
        summary="The last 50 deploys, newest first.",
        query=(Param("app", NAME, "Only of this app."), MOST, CURSOR),
        answers=(Answer(200, "The deploys that the caller may see.", page("deploys", DEPLOY)),),
        filters=True,
    ),
    Route(
        method="GET",
        path="/api/deploys/{deploy}",
        verb="apps:read",
        name="deploys.show",
        summary="The progress of a deploy, or how it ended.",
        answers=(Answer(200, "The deploy.", DEPLOY),),
        faults=(404,),
        filters=True,
    ),
)
