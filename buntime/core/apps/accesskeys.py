"""The keys of a manifest that say who may reach the app."""

from buntime.core.apps.key import Key
from buntime.core.apps.manifestvalues import routes, routes_dump
from buntime.core.values.kinds import one_of

AUTHS = ("required", "optional", "none")  # the strictest first

ACCESS_KEYS = (
    Key(
        "publicRoutes",
        "public_routes",
        "list, or a list for each method",
        routes,
        [],
        "routes that need no key or sign-in if the app otherwise does; `*` one segment, `**` "
        "any number",
        "none",
        dump=routes_dump,
    ),
    Key(
        "visibility",
        "visibility",
        "word",
        one_of("public", "protected", "internal"),
        "public",
        "public; protected: needs a key; internal: only other workers can reach it",
    ),
    Key(
        "auth",
        "auth",
        "word",
        one_of(*AUTHS),
        "none",
        "required: people who have not [signed in](access.md) are asked to; optional: the app "
        "is told who has signed in",
    ),
)
