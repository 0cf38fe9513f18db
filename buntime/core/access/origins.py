"""Requests that a browser sends on behalf of a page of another site."""

import re
from collections.abc import Iterable

_PORT = re.compile(r":[0-9]*\Z")
_ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+(?::[0-9]+)?|\[[0-9a-f:.]+\](?::[0-9]+)?)")


def is_foreign(headers: Iterable[tuple[str, str]], *, host: str) -> bool:
    """Whether a browser sends the request on behalf of another site's page.

    Such a request must change nothing: the browser adds what it knows of the user, and on this
    machine its address alone opens the operator's pages. `host` is what the request is addressed
    to, before any trusted proxy. Programs that are no browser send none of these fields.

    1. Sec-Fetch-Site, where it is sent, must be "same-origin", or "none" for the user's own doing.
    2. Origin, where it is sent, must have this host and port. The scheme is not compared: a proxy
       that ends TLS need not tell of it.
    """
    for name, value in headers:
        name = name.lower()
        if name == "sec-fetch-site" and value.strip() not in ("same-origin", "none"):
            return True
        if name == "origin":
            match = _ORIGIN.fullmatch(value.strip().lower())
            if match is None:
                return True
            default = ":80" if match[1] == "http" else ":443"
            if _with_port(match[2], default) != _with_port(host.lower(), default):
                return True
    return False


def _with_port(host: str, default: str) -> str:
    host = host.removesuffix(":")
    return host if _PORT.search(host) else host + default
