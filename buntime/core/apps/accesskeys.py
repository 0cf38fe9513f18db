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
        "routes open without a key or sign-in where the app wants one; `*` one segment, `**` many",
        "none",
        dump=routes_dump,
    ),
    Key(
        "visibility",
        "visibility",
        "word",
        one_of("public", "protected", "internal"),
        "public",
        "public; protected: needs a key; internal: only other workers reach it",
    ),
    Key(
        "auth",
        "auth",
        "word",
        one_of(*AUTHS),
        "none",
        "required: who has not [signed in](access.md) is asked to; optional: the app hears who has",
    ),
)
