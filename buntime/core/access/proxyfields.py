"""Header fields in which proxies say who sent a request, and to where."""

FORWARDING = frozenset(
    "forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip "
    "fastly-client-ip x-scheme x-url-scheme front-end-https".split()
)
# What matched the "*" of an app's host; only the runtime may send it, see core/apps/hosts.
LABEL_FIELD = "x-vhost-tenant"
CRON_FIELD = "x-buntime-cron"  # the name of the job that made the request
_PREFIX = "x-forwarded"  # every field that begins with this is one too


def tells_of_proxy(name: str) -> bool:
    """Whether a field, in lower case, shows that a request came through a proxy."""
    return name == "via" or is_forwarding(name)


def is_forwarding(name: str) -> bool:
    """Whether a field, in lower case, speaks for the sender as a proxy would.

    `x_forwarded_for` counts too: WSGI and CGI turn both into the same variable.
    """
    name = name.replace("_", "-")
    return name in FORWARDING or name.startswith(_PREFIX)
