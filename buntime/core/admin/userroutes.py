"""Users, who sign in to apps. The plugin that signs people in stores them and answers here."""

from buntime.core.admin.route import (
    CURSOR,
    FLAG,
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

_NAMES: Schema = {"type": "array", "items": TEXT}
_ONE: Schema = {
    "type": "object",
    "required": ["name", "roles", "groups", "disabled"],
    "properties": {
        "name": NAME,
        "email": TEXT,
        "fullName": TEXT,
        "roles": _NAMES,
        "groups": _NAMES,
        "hasPassword": FLAG,
        "hasSecondFactor": FLAG,
        "disabled": FLAG,
        "createdAt": OR_NOTHING,  # in RFC 3339
    },
}
_SESSION: Schema = {
    "type": "object",
    "properties": {
        "user": TEXT,
        "host": TEXT,
        "provider": TEXT,
        "createdAt": OR_NOTHING,
        "seenAt": OR_NOTHING,
        "expiresAt": OR_NOTHING,
    },
}
_DETAILS = {
    "email": {"type": "string", "maxLength": 200},
    "fullName": {"type": "string", "maxLength": 200},
    "roles": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}},
    "groups": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 200}},
}
_LINK: Schema = {
    "type": "object",
    "required": ["user"],
    "properties": {"user": _ONE, "link": TEXT, "expiresAt": OR_NOTHING},
}
_USER: Schema = {"type": "object", "required": ["user"], "properties": {"user": _ONE}}
_FAULTS = (404, 409, 502, 503, 504)  # because a plugin answers

USERS = (
    Route(
        method="GET",
        path="/api/users",
        verb="users:read",
        name="users.list",
        summary="The users who may sign in by password, by name.",
        query=(LIMIT, CURSOR),
        answers=(Answer(200, "One page of users.", page("users", _ONE)),),
        faults=_FAULTS,
    ),
    Route(
        method="POST",
        path="/api/users",
        verb="users:write",
        name="users.add",
        summary="Invite a user, who sets a password by the link in the answer.",
        body=Body(
            {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {**NAME, "maxLength": 64}, **_DETAILS},
                "additionalProperties": False,
            }
        ),
        answers=(Answer(201, "The link, shown only now; none in a dry run.", _LINK),),
        faults=_FAULTS,
    ),
    Route(
        method="GET",
        path="/api/users/{user}",
        verb="users:read",
        name="users.show",
        summary="One user, and where the user is signed in.",
        answers=(
            Answer(
                200,
                "Both.",
                {
                    "type": "object",
                    "required": ["user", "sessions"],
                    "properties": {
                        "user": _ONE,
                        "sessions": {"type": "array", "items": _SESSION},
                    },
                },
            ),
        ),
        faults=_FAULTS,
    ),
    Route(
        method="PATCH",
        path="/api/users/{user}",
        verb="users:write",
        name="users.change",
        summary="Change a user, with immediate effect; disabling one also signs the user out.",
        body=Body(
            {
                "type": "object",
                "properties": {
                    **_DETAILS,
                    "disabled": FLAG,
                    "secondFactor": {"type": "boolean", "description": "false removes it"},
                },
                "additionalProperties": False,
            }
        ),
        answers=(Answer(200, "The user after the change.", _USER),),
        faults=_FAULTS,
    ),
    Route(
        method="DELETE",
        path="/api/users/{user}",
        verb="users:write",
        name="users.remove",
        summary="Remove a user, and sign the user out at once.",
        answers=(
            Answer(
                200,
                "Done.",
                {"type": "object", "required": ["removed"], "properties": {"removed": NAME}},
            ),
        ),
        faults=_FAULTS,
    ),
    Route(
        method="POST",
        path="/api/users/{user}/reset",
        verb="users:write",
        name="users.reset",
        summary="Make a link by which a user sets a new password.",
        answers=(Answer(200, "The link, shown only now; none in a dry run.", _LINK),),
        faults=_FAULTS,
    ),
    Route(
        method="DELETE",
        path="/api/users/{user}/sessions",
        verb="users:write",
        name="users.signout",
        summary="Sign a user out everywhere.",
        answers=(
            Answer(
                200,
                "The number of sessions that were ended.",
                {
                    "type": "object",
                    "required": ["ended"],
                    "properties": {"ended": {"type": "integer", "minimum": 0}},
                },
            ),
        ),
        faults=_FAULTS,
    ),
)
