"""How to answer somebody who has not signed in: redirect, a page with a link, or an error.

    what asks for it                          answer
    ----------------------------------------  ----------------------------------------------
    a page in a tab (Sec-Fetch-Dest)          303, to the page for signing in
    a page in a frame                         401, a page whose link asks the shell, or opens a tab
    anything else: scripts, images, clients   401, JSON

Browsers that do not say what a request is for (Safari before 16.4, plain http on a name other than
localhost) are redirected where they GET something that may be HTML.
"""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

from buntime.core.http1.negotiation import accepts_html

SIGN_IN = ".well-known/buntime/auth"  # where a plugin answers, at each host; below "/"

Way = Literal["lead", "show", "tell"]

_FRAMES = frozenset(("iframe", "frame", "embed", "object", "fencedframe"))
# A sandboxed page cannot sign anybody in, so it asks the shell around it. A parent that is not the
# shell does not answer.
SCRIPT = """
const link = document.querySelector("a");
if (parent !== self) link.onclick = (event) => {
  event.preventDefault();
  const alone = setTimeout(() => open(link.href), 1000);
  onmessage = ({ source }) => source === parent && clearTimeout(alone);
  parent.postMessage({ buntime: "SIGN_IN" }, "*");
};
"""
# The page's Content-Security-Policy allows this script and no other.
SCRIPT_HASH = "sha256-3cvaxQ0GTqP67nKXR6ltMnqnTh0QIB5eRdy9J6/CeQ8="
_TARGET_MAX = 2000  # characters; from a longer one people return to "/"


def way_to_sign_in(method: str, fields: Iterable[tuple[str, str]]) -> Way:
    """How to answer somebody who must sign in. `fields` are the request's."""
    found = {name: value for name, value in fields if name in ("sec-fetch-dest", "accept")}
    dest = found.get("sec-fetch-dest")
    if dest is None:
        reads = method in ("GET", "HEAD") and accepts_html(found.get("accept", ""))
        return "lead" if reads else "tell"
    if dest == "document":
        return "lead"
    return "show" if dest in _FRAMES else "tell"


def sign_in_url(prefix: str, target: str) -> str:
    """Where to sign in to return to `target`, "/shop/cart?id=1", below the proxies' prefix."""
    to = prefix + (target if target.startswith("/") and len(target) <= _TARGET_MAX else "/")
    return f"{prefix}/{SIGN_IN}/sign-in?to={quote(to, safe='/')}"


def sign_in_page(url: str) -> bytes:
    """The page for a frame, which cannot go to the sign-in page itself."""
    link = url.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Sign in</title>\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<p>This page needs a sign-in. <a href="{link}" target="_blank">Sign in</a></p>\n'
        f"<script>{SCRIPT}</script></html>\n"
    ).encode()
