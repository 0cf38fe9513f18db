"""Header fields by which proxies tell who sent a request, and to where."""

FORWARDING = frozenset(
    "forwarded x-real-ip x-client-ip x-cluster-client-ip true-client-ip cf-connecting-ip "
    "fastly-client-ip x-scheme x-url-scheme front-end-https".split()
)
# What stands in the place of the "*" of an app's host: the runtime's to tell, see core/apps/hosts.
LABEL_FIELD = "x-vhost-tenant"
CRON_FIELD = "x-buntime-cron"  # the name of the job whose request it is
_PREFIX = "x-forwarded"  # all that begins so is one, too


def tells_of_proxy(name: str) -> bool:
    """Whether a field, in lower case, shows that a request came through a proxy."""
    return name == "via" or is_forwarding(name)


def is_forwarding(name: str) -> bool:
    """Whether a field, in lower case, tells of the sender in a proxy's stead.

    `x_forwarded_for` too: what makes variables of fields takes it for the same.
    """
    name = name.replace("_", "-")
    return name in FORWARDING or name.startswith(_PREFIX)
