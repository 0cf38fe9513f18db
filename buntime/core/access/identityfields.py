"""Header fields that tell who asks: the runtime's to write, and no client's."""

IDENTITY_STARTS = ("x-identity", "x_identity")
TOLD_BY_PROXIES = frozenset(("x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"))


def is_identity_field(name: str) -> bool:
    """Whether a field, in lower case, tells who asks: "x-identity", "x-forwarded-user".

    `x_forwarded_user` too: what makes variables of fields takes it for the same.
    """
    if name[:1] != "x":
        return False
    return name.startswith(IDENTITY_STARTS) or name.replace("_", "-") in TOLD_BY_PROXIES
