"""The routes of the audit trail."""

from buntime.core.admin.route import (
    ANYTHING,
    COUNT,
    CURSOR,
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

_ENTRY: Schema = {
    "type": "object",
    "required": ["number", "time", "actor", "action", "subject", "result", "previous", "hash"],
    "properties": {
        "number": COUNT,
        "time": TEXT,
        "actor": TEXT,
        "source": TEXT,
        "address": TEXT,
        "request": TEXT,
        "action": TEXT,
        "subject": TEXT,
        "app": OR_NOTHING,
        "before": ANYTHING,
        "after": ANYTHING,
        "result": TEXT,  # "begun", "done", "unknown", or the code of an error
        "begun": COUNT,  # the number of the entry that began it
        "previous": TEXT,
        "hash": TEXT,
    },
}
_PAGE = page(
    "entries",
    _ENTRY,
    removed={"type": ["object", "null"], "properties": {"number": COUNT, "hash": TEXT}},
)

AUDIT = (
    Route(
        method="GET",
        path="/api/audit",
        verb="audit:read",
        name="audit.list",
        summary="Who changed what, newest first.",
        query=(
            LIMIT,
            CURSOR,
            Param("app", NAME, "Only entries about this app."),
            Param("actor", NAME, "Only entries by this key, or this way of signing in."),
            Param("action", NAME, "Only this action, such as plugins.disable; plugins.* for all."),
        ),
        answers=(Answer(200, "A page of the trail.", _PAGE),),
        faults=(503,),
    ),
)
