"""Who gets the shell instead of a page, and at which path the shell loads the page itself.

    GET /keyval/queues                                      a browser's address bar: the shell
    GET /.well-known/buntime/frame/keyval/queues            the shell's frame: the page
    GET /keyval/keyval.js, /keyval/api/…, a fetch, curl     what is there

Browsers say in Sec-Fetch-Dest what they load something for: over https and on localhost, and Safari
from 16.4 on. Without it, a request for HTML counts as one for a document, and a shell that finds
itself in a frame reports that to the shell above it.
"""

from collections.abc import Iterable

from buntime.core.access.paths import plain_path
from buntime.core.http1.negotiation import accepts_html

FRAME_ALIAS = "/.well-known/buntime/frame"
# What the answer depends on, whichever one it is.
VARY = ("vary", "Sec-Fetch-Dest, Accept")

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
IN_A_SANDBOX = (("content-security-policy", SANDBOX),)

_PAGES = ("", "html", "htm")


def framed_target(target: str) -> str | None:
    """`"/.well-known/buntime/frame/keyval/?x=1"` -> "/keyval/?x=1"; None for any other."""
    if not target.startswith(FRAME_ALIAS + "/"):
        return None
    return target[len(FRAME_ALIAS) :]


def framed_fields(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The fields of a request that the shell makes for a frame. Even if the browser does not say
    that it is for a frame, nobody inside one is redirected to another page."""
    if any(name == "sec-fetch-dest" for name, _ in headers):
        return headers
    return (*headers, ("sec-fetch-dest", "iframe"))


def may_be_shell(method: str, rest: str) -> bool:
    """Whether the request can be for a page. `rest` is the path below its base.

    Not for downloads or for data: a path whose last segment has an extension other than html. Paths
    below a plugin's `routes` are not checked here.
    """
    if method not in ("GET", "HEAD"):
        return False
    path = plain_path(rest or "/")
    return path is not None and _extension(path) in _PAGES


def is_for_window(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a browser requests the content of its window; names are in lower case."""
    found = {name: value for name, value in headers if name in ("sec-fetch-dest", "accept")}
    destination = found.get("sec-fetch-dest")
    if destination is not None:
        return destination.strip().lower() == "document"
    return accepts_html(found.get("accept", ""))


def _extension(path: str) -> str:
    """`"/a/b.tar.GZ"` -> "gz"; a name that begins with a dot has none."""
    name = path.rpartition("/")[2].lstrip(".")
    return name.rpartition(".")[2].lower() if "." in name else ""
