"""Recognizes requests that a browser sends on behalf of another site's page."""

from collections.abc import Iterable

from buntime.core.values.regex import regex

_PORT = regex(r":[0-9]*\Z")
_ORIGIN = regex(r"(https?)://([a-z0-9._-]+(?::[0-9]+)?|\[[0-9a-f:.]+\](?::[0-9]+)?)")


def is_foreign(headers: Iterable[tuple[str, str]], *, host: str) -> bool:
    """Whether a browser sends the request on behalf of another site's page.

    Such a request must change nothing: the browser adds the user's credentials to it, and on this
    machine its address alone opens the operators' pages. `host` is what the request is addressed
    to, before any trusted proxy. Programs that are not browsers send none of these fields.

    1. Sec-Fetch-Site, if sent, must be "same-origin", or "none" for an action of the user.
    2. Origin, if sent, must have this host and port. The scheme is not compared: a proxy that ends
       TLS need not say so.
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


def is_own_page(headers: Iterable[tuple[str, str]], *, host: str, is_secure: bool) -> bool:
    """Whether a browser confirms that a page of this very origin sends the request. Browsers send
    Origin with every write, so it must be present, and be https where the request came over TLS."""
    headers = tuple(headers)
    scheme = ("https://",) if is_secure else ("http://", "https://")
    origins = [value.strip().lower() for name, value in headers if name == "origin"]
    sites = [value.strip() for name, value in headers if name == "sec-fetch-site"]
    return (
        len(origins) == 1
        and origins[0].startswith(scheme)
        and all(site == "same-origin" for site in sites)
        and not is_foreign(headers, host=host)
    )


def _with_port(host: str, default: str) -> str:
    host = host.removesuffix(":")
    return host if _PORT.search(host) else host + default
