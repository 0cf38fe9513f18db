"""Where a user is, and where to redirect: hosts, cookies, paths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from buntime import Request, Response

SESSION, FLOW = "bt-user", "bt-flow"
_BAD_PATH = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_PATH_MAX = 4000


class BadUrl(Exception):
    """The option publicUrl is invalid; says why."""


def safe_path(to: str | None) -> str:
    """Where to redirect: a path of this host, "/" for anything else."""
    if not to or len(to) > _PATH_MAX or to[0] != "/" or to[1:2] in ("/", "\\"):
        return "/"
    return "/" if _BAD_PATH.search(to) else quote(to, safe="/?&=#%:;,+@!$'()*~[]")


def host_of(request: Request) -> str:
    """The host that the browser requested, with its port: "" if invalid."""
    host = request.host.lower()
    return host if _HOST.fullmatch(host) else ""


def origin_of(request: Request) -> str:
    """`"https://shop.example.com"`, as the client sees it."""
    return f"{request.scheme}://{host_of(request)}"


def is_own_form(request: Request) -> bool:
    """Whether a POST comes from a page of this host."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin == origin_of(request)


def posted(request: Request, name: str) -> str:
    """A text field of the form; "" if there is none."""
    value = request.form().get(name)
    return value if isinstance(value, str) else ""


def cookie(request: Request, name: str) -> str | None:
    """The value of one of our cookies."""
    return request.cookies.get(_name(request, name))


def set_cookie(
    request: Request, response: Response, name: str, value: str, max_age_s: float
) -> None:
    """Only for this host, and for all of it. Over TLS no other host can set it: `__Host-`. If an
    app sets hundreds, Chromium first drops cookies without high priority."""
    secure = "; Secure" if request.scheme == "https" else ""
    response.headers.add(
        "set-cookie",
        f"{_name(request, name)}={value}; Path=/; Max-Age={max_age_s:.0f}; HttpOnly; "
        f"SameSite=Lax; Priority=High{secure}",
    )


def cookie_names(scheme: str) -> str:
    """The name of the session's cookie, by which verdicts vary."""
    return f"__Host-{SESSION}" if scheme == "https" else SESSION


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if request.scheme == "https" else name


class Hosts:
    """Where users sign in, and for which other hosts."""

    def __init__(self, public_url: str, others: Iterable[Any]) -> None:
        """Raises BadUrl."""
        self.public_url = public_url.rstrip("/")
        url = urlsplit(self.public_url)
        if public_url and (url.scheme not in ("http", "https") or not url.hostname or url.query):
            raise BadUrl(
                f"publicUrl: {public_url!r} is not a URL; write one like https://example.com"
            )
        self.public_host = url.netloc.lower()
        self.public_path = url.path
        self._others = [str(each).lower() for each in others]

    def is_public(self, host: str) -> bool:
        """Whether users sign in here: at the one host, or at each host if none is named."""
        return not self.public_host or host == self.public_host

    def may_enter(self, host: str) -> bool:
        """Whether a sign-in may be transferred to this host."""
        name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
        return any(
            name == each or (each.startswith("*.") and name.endswith(each[1:]))
            for each in self._others
        )
