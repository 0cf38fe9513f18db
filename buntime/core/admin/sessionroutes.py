"""The routes of operators' sessions in a browser."""

from buntime.core.access.operators import LINK_PATH
from buntime.core.admin.route import (
    FLAG,
    OPEN,
    OR_NOTHING,
    TEXT,
    Answer,
    Body,
    Param,
    Route,
    Schema,
)

_CALLER: Schema = {
    "type": "object",
    "required": ["name", "source", "rights", "apps"],
    "properties": {
        "name": TEXT,
        "source": {"enum": ["key", "socket", "local", "master", "link"]},
        "rights": {"type": "array", "items": TEXT},
        "apps": {"type": "array", "items": TEXT, "description": "Globs of apps."},
    },
}
_SESSION: Schema = {
    "type": "object",
    "required": ["caller", "csrf", "expiresAt", "environment", "users"],
    "properties": {
        "caller": _CALLER,
        "csrf": {
            **OR_NOTHING,
            "description": "What writes must send as X-Buntime-Csrf; null without a session.",
        },
        "expiresAt": {**OR_NOTHING, "description": "When the session ends if it is not used."},
        "environment": {"enum": ["development", "staging", "production", "test"]},
        "users": {**FLAG, "description": "Whether a plugin signs people in."},
    },
}
_SIGNED_IN = (Answer(200, "Who is signed in, and with which rights.", _SESSION),)

SESSIONS = (
    Route(
        method="GET",
        path="/api/session",
        verb=OPEN,
        name="session.show",
        summary="Who the caller is, by session or key; in development this begins a session.",
        answers=_SIGNED_IN,
        faults=(401, 403, 429, 503),
    ),
    Route(
        method="POST",
        path="/api/session",
        verb=OPEN,
        name="session.begin",
        summary="Sign in with a key, at the operators' address: the answer sets a cookie.",
        body=Body(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["key"],
                "properties": {"key": {"type": "string", "minLength": 1, "maxLength": 1000}},
            }
        ),
        answers=_SIGNED_IN,
        faults=(401, 403, 429, 503),
        has_dry_run=False,
    ),
    Route(
        method="DELETE",
        path="/api/session",
        verb=OPEN,
        name="session.end",
        summary="Sign out: end this session, or with `all` every session of its key.",
        query=(
            Param(
                "all",
                {"type": "boolean", "default": False},
                "End all sessions of the key; over the control socket, those of everybody.",
            ),
        ),
        answers=(Answer(204, "It has ended."),),
        faults=(401, 403, 503),
        has_dry_run=False,
    ),
    Route(
        method="POST",
        path="/api/session/links",
        verb="keys:write",
        name="session.link",
        summary="Make a link that signs in once, within 15 minutes; only over the control socket.",
        answers=(
            Answer(
                201,
                "The link.",
                {
                    "type": "object",
                    "required": ["url", "expiresAt"],
                    "properties": {"url": TEXT, "expiresAt": TEXT},
                },
            ),
        ),
        faults=(403, 409),
        has_dry_run=False,
    ),
    Route(
        method="GET",
        path=LINK_PATH,
        verb=OPEN,
        name="session.open",
        summary="Sign in by a one-time link: a page that leads on to the panel.",
        answers=(Answer(200, "The page.", TEXT, "text/html"),),
        faults=(403, 404),
        takes_any_query=True,
    ),
)
