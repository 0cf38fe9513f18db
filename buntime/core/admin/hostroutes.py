"""The routes of hosts: which app has each, which others name it, and who gets it."""

from buntime.core.admin.route import (
    CURSOR,
    FLAG,
    LIMIT,
    NAME,
    OR_NOTHING,
    Answer,
    Body,
    Route,
    Schema,
    page,
)

_PATH = "/api/hosts/{host}"
_HOST: Schema = {
    "type": "object",
    "required": ["host", "app", "since", "isNamed", "isGiven", "manifest", "wantedBy"],
    "properties": {
        "host": NAME,
        "app": NAME,
        "since": OR_NOTHING,  # in RFC 3339; null where the first holder is not recorded
        "isNamed": {
            **FLAG,
            "description": "Whether the app names the host now; if not, it is kept for the app.",
        },
        "isGiven": {**FLAG, "description": "Whether the app's hosts come from the config file."},
        "manifest": OR_NOTHING,  # the file that names the host
        "wantedBy": {"type": "array", "items": NAME},
    },
}
_MOVE = Body(
    {
        "type": "object",
        "required": ["app"],
        "properties": {"app": NAME},
        "additionalProperties": False,
    }
)

HOSTS = (
    Route(
        method="GET",
        path="/api/hosts",
        verb="apps:read",
        name="hosts.list",
        summary="Which app has each host, since when, and which other apps name it.",
        query=(LIMIT, CURSOR),
        answers=(Answer(200, "A page of hosts, by name.", page("hosts", _HOST)),),
        filters=True,
    ),
    Route(
        method="GET",
        path=_PATH,
        verb="apps:read",
        name="hosts.show",
        summary="One host: its app, since when, and which other apps name it.",
        answers=(Answer(200, "The host.", _HOST),),
        faults=(404,),
        filters=True,
        has_tag=True,
    ),
    Route(
        method="POST",
        path=f"{_PATH}/move",
        verb="apps:deploy",
        name="hosts.move",
        summary="Give a host to another app that names it.",
        body=_MOVE,
        answers=(Answer(200, "The app that has it now.", _HOST),),
        faults=(404, 409, 503),
        has_tag=True,
    ),
)
