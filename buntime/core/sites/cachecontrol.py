"""How long the files of a site may be cached, and by whom (RFC 9111 5.2)."""

from buntime.core.sites.fingerprint import is_content_hashed
from buntime.core.sites.mediatypes import HTML

_YEAR_S = 365 * 24 * 3600


def cache_control(name: str, content_type: str, *, private: bool) -> str:
    """How long the file `name` may be cached, and by whom.

    - A page names the hashed files of one build, so it is requested anew each time.
    - A file with its content's hash in its name never changes.
    - Any other file may change with each deployment: it is stored, but only used after a 304.
      `private` keeps all of it out of shared caches. A site that needs a key must say so: with
      "public" a cache could give its files to clients without one.
    """
    scope = "private" if private else "public"
    if content_type == HTML:
        return "private, no-cache" if private else "no-cache"
    if is_content_hashed(name):
        return f"{scope}, max-age={_YEAR_S}, immutable"
    return f"{scope}, max-age=0, must-revalidate"
