"""Header fields that say who sends a request: only the runtime may write them, never a client."""

IDENTITY_STARTS = ("x-identity", "x_identity")
IDENTITY_FROM_PROXIES = frozenset(("x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"))


def is_identity_field(name: str) -> bool:
    """Whether a field, in lower case, says who sends the request: "x-identity", "x-forwarded-user".

    `x_forwarded_user` counts too: WSGI and CGI turn both into the same variable.
    """
    if name[:1] != "x":
        return False
    return name.startswith(IDENTITY_STARTS) or name.replace("_", "-") in IDENTITY_FROM_PROXIES
