"""Where a hook of stage route sends a request: another path, another app.

Nothing has been decided about the request yet, so both are checked like a client's input: a path
must have one reading and hide no reserved path; an app has a name and an optional range.
"""

from urllib.parse import quote

from buntime.core.access.paths import plain_path
from buntime.core.apps.router import RESERVED, split_target
from buntime.core.plugins.hookfields import BadVerdict
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

_PATH_MAX_CHARS = 4096
# Characters that a path may contain unescaped (RFC 3986 3.3), so that it stays as written.
_SAFE = "/:@!$&'()*+,;=-._~"


class AppChoice(NamedTuple):
    """An app in the form that a request names it: ("shop", "^1"), ("@acme/shop", None)."""

    name: str
    spec: str | None


def read_path(value: object, api_prefix: str | None = "") -> str:
    """A decoded path, encoded for use in a target: `"/a b"` -> "/a%20b". Raises BadVerdict.

    `api_prefix` is None where no path belongs to the runtime.
    """
    if not isinstance(value, str) or value[:1] != "/":
        raise BadVerdict(f'path {shown(value)} does not begin with "/"')
    if len(value) > _PATH_MAX_CHARS:
        raise BadVerdict(f"path has {len(value)} characters; {_PATH_MAX_CHARS} are allowed")
    try:
        raw = quote(value, safe=_SAFE)
    except UnicodeEncodeError:  # a surrogate
        raise BadVerdict(f"path {shown(value)} is not Unicode") from None
    if plain_path(raw) != value:
        raise BadVerdict(f"path {shown(value)} can be read in more than one way")
    if api_prefix is None:
        return raw
    first = value[1:].partition("/")[0]
    if first in RESERVED or (api_prefix and (value + "/").startswith(api_prefix + "/")):
        raise BadVerdict(f"path {shown(value)} is the runtime's own")
    return raw


def read_app(value: object) -> AppChoice:
    """`"shop"`, `"@acme/shop@^1"`. Raises BadVerdict."""
    target = None
    if isinstance(value, str) and len(value) <= _PATH_MAX_CHARS and value.isascii():
        target = split_target("/" + quote(value, safe="/@"))
    if target is None or target.rest or target.name in RESERVED:
        raise BadVerdict(f"app {shown(value)} is not the name of an app, like shop or shop@^1")
    return AppChoice(target.name, target.spec)
