"""The routes of apps' data, and of backups."""

from buntime.core.admin.route import (
    COUNT,
    CURSOR,
    FLAG,
    LIMIT,
    NAME,
    OR_NOTHING,
    TEXT,
    Answer,
    Param,
    Route,
    Schema,
    page,
)
from buntime.core.backup.form import KINDS

_FOLDER: Schema = {
    "type": "object",
    "required": ["name", "user", "files", "sizeBytes", "isWhole"],
    "properties": {
        "name": NAME,
        "user": OR_NOTHING,
        "files": COUNT,
        "sizeBytes": COUNT,
        "isWhole": FLAG,
        "maxBytes": {"type": ["integer", "null"]},  # the app's dataMax
    },
}

DATA = (
    Route(
        method="GET",
        path="/api/data",
        verb="data:read",
        name="data.list",
        summary="The data folders of apps and plugins: the owner and size of each.",
        query=(LIMIT, CURSOR),
        answers=(
            Answer(
                200,
                "One page, by name; without `isWhole` there is more in the folder: it has "
                "very many files, or some that the runtime cannot read.",
                page("data", _FOLDER),
            ),
        ),
        faults=(503,),
    ),
    Route(
        method="GET",
        path="/api/data/backup",
        verb="data:read",
        name="data.backup",
        summary="An archive of apps, plugins, their data and the state.",
        query=(
            Param("only", {"type": "string", "enum": [*KINDS]}, "Only this kind."),
            Param(
                "secrets",
                {"type": "boolean", "default": False},
                "Include the values of secrets; only on the host itself.",
            ),
        ),
        answers=(Answer(200, "A tar.gz.", TEXT, "application/gzip"),),
        faults=(403, 409, 503),
    ),
)
