"""Where a request for the operator's pages comes from: this machine, or anywhere.

With RUNTIME_MASTER_KEY that does not matter, the key does. Without it the pages are closed, but in
development: there a direct request of this machine that bears the local key may see them. An
address alone opens nothing, since apps have the same one, and so has a proxy that tells nothing.

Fails closed: where it is not sure that a request comes from this machine, it does not.
"""

from collections.abc import Iterable

from buntime.core.access.peers import UNIX_PEER, is_loopback
from buntime.core.access.proxyfields import tells_of_proxy
from buntime.core.values.regex import regex

PANEL = "cpanel"  # the plugin that operators are led to, at its base
LINK_PATH = "/.well-known/buntime/open"  # of one-time links to sign in by

_PORT = regex(r":[0-9]*\Z")


def is_direct(
    headers: Iterable[tuple[str, str]],
    *,
    peer: str,
    host: str,
    is_absolute: bool = False,
    listening: Iterable[str] = (),
) -> bool:
    """Whether a request comes from this machine, by no proxy, and is meant for it.

    1. Its peer must be this machine (127/8, ::1, or `UNIX_PEER`), and
    2. it must not have come through a proxy: no forwarding header, no URL as target, and
    3. it must be addressed to this machine, see `names_this_machine`.

    `peer` is the address the connection comes from, never one that a header tells. `host` is what
    the request is addressed to, `listening` are the hosts that the runtime was told to listen at.
    A URL as target has its own host, which hides what the Host field said.
    """
    return (
        is_loopback(peer)
        and not is_absolute
        and not any(tells_of_proxy(name.lower()) for name, _ in headers)
        and names_this_machine(host, listening)
    )


def names_this_machine(host: str, listening: Iterable[str] = ()) -> bool:
    """Whether a Host field's value can mean no other machine: "localhost:8000", "[::1]".

    A page in this machine's browser can have its own name resolve to 127.0.0.1 and then read what
    answers there (DNS rebinding); the browser names that page's host. No page's owner can have
    "localhost", a name below it (RFC 6761 6.3), or an address of the loopback. `listening` are
    taken as they are: the operator has chosen them.
    """
    name = _PORT.sub("", host).lower().strip("[]").removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name != UNIX_PEER and is_loopback(name):
        return True
    return name in {each.lower() for each in listening}
