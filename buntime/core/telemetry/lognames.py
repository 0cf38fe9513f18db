"""The names of apps' log files: `"@acme/shop"` <-> `"@acme+shop.log"`.

Whatever an app's name is, its file is in the folder, is not hidden, and belongs to no other app:
special characters are written like `%2F`, and a name that is too long for a file ends in a hash.
"""

from urllib.parse import quote, unquote

from buntime.core.telemetry.applines import RUNTIME
from buntime.core.values.digests import sha256
from buntime.core.values.regex import regex

_SUFFIX = ".log"
_RUNTIME = "+runtime"
_SAFE = "@~"  # besides letters, digits, "_", "." and "-"
# A file name has at most 255 bytes, including the number after the suffix.
_LONGEST = 200
_KEPT = 100
_HASH_DIGITS = 32
_CUT = "++"  # a "+" in a name is escaped
_FILE = regex(r"(?P<name>[^/]+)\.log(?:\.(?P<number>[1-9][0-9]?))?")


def file_of(app: str) -> str:
    """The file of an app's log."""
    return _stem_of(app) + _SUFFIX


def parse_file(file: str) -> tuple[str | None, int] | None:
    """`"shop.log.2"` -> ("shop", 2), `"shop.log"` -> ("shop", 0); None for any other file.

    The app is None if its name was too long; then only the lines have it.
    """
    match = _FILE.fullmatch(file)
    if match is None:
        return None
    stem, number = match["name"], int(match["number"] or 0)
    if stem == _RUNTIME:
        return RUNTIME, number
    if stem[_KEPT:-_HASH_DIGITS] == _CUT:
        return None, number
    scope, plus, name = stem.partition("+")
    app = unquote(f"{scope}/{name}" if plus else stem, errors="surrogateescape")
    return (app, number) if _stem_of(app) == stem else None


def _stem_of(app: str) -> str:
    if app == RUNTIME:
        return _RUNTIME
    scope, slash, name = app.partition("/")
    if slash and scope[:1] == "@" and "/" not in name:
        stem = f"{_quoted(scope)}+{_quoted(name)}"
    else:
        stem = _quoted(app)
    if stem.startswith("."):
        stem = "%2E" + stem[1:]
    if len(stem) > _LONGEST:
        digest = sha256(app.encode(errors="surrogateescape")).hex()
        stem = f"{stem[:_KEPT]}{_CUT}{digest[:_HASH_DIGITS]}"
    return stem


def _quoted(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogateescape")
