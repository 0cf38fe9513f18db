"""Whether a request for the operators' pages comes from this machine.

With RUNTIME_MASTER_KEY this does not matter: the key decides. Without it the pages are closed,
except in development, where a direct request from this machine that bears the local key may see
them. An address alone opens nothing, because apps have the same one, and so does a proxy that adds
no header.

Fails closed: a request counts as coming from this machine only where that is certain.
"""

from collections.abc import Iterable

from buntime.core.access.peers import UNIX_PEER, is_loopback
from buntime.core.access.proxyfields import tells_of_proxy
from buntime.core.values.regex import regex

PANEL = "cpanel"  # the plugin whose pages operators are sent to, at its base
LINK_PATH = "/.well-known/buntime/open"  # the path of one-time sign-in links

_PORT = regex(r":[0-9]*\Z")


def is_direct(
    headers: Iterable[tuple[str, str]],
    *,
    peer: str,
    host: str,
    is_absolute: bool = False,
    listening: Iterable[str] = (),
) -> bool:
    """Whether a request comes directly from this machine and is addressed to it.

    1. Its peer must be this machine (127/8, ::1, or `UNIX_PEER`), and
    2. it must not have come through a proxy: no forwarding header, no URL as target, and
    3. it must be addressed to this machine, see `names_this_machine`.

    `peer` is the address of the connection, never one from a header. `host` is the host that the
    request is addressed to; `listening` are the hosts that the runtime was told to listen on. A URL
    as target has its own host, which hides what the Host field said.
    """
    return (
        is_loopback(peer)
        and not is_absolute
        and not any(tells_of_proxy(name.lower()) for name, _ in headers)
        and names_this_machine(host, listening)
    )


def names_this_machine(host: str, listening: Iterable[str] = ()) -> bool:
    """Whether a Host field's value can only mean this machine: "localhost:8000", "[::1]".

    A page in this machine's browser can make its own name resolve to 127.0.0.1 and then read what
    answers there (DNS rebinding), but the browser still sends that page's host. Nobody can own
    "localhost", a name below it (RFC 6761 6.3), or a loopback address. The hosts in `listening` are
    trusted as they are: the operator has chosen them.
    """
    name = _PORT.sub("", host).lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name != UNIX_PEER and is_loopback(name):
        return True
    return name in {each.lower() for each in listening}
