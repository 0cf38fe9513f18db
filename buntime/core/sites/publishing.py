"""Which files of its folder a site publishes.

All files beside the entrypoint and below, except

- names that begin with a dot, other than `.well-known`: .env, .git, .venv;
- the app's manifest;
- `__pycache__`;
- Python's sources and bytecode, unless the manifest names the entrypoint: a folder that happens to
  have an index.html does not ask to show the program beside it. An author who writes `entrypoint:
  index.html` has decided.

A link is judged by what it leads to, by the same rules: `notes.txt -> .env` is not published.
"""

import re
from collections.abc import Sequence

from buntime.core.apps.manifest import MANIFEST_NAMES
from buntime.core.values.regex import regex

WELL_KNOWN = ".well-known"
# A site's settings are not part of the site. Compared in lower case: macOS opens either.
_MANIFESTS = frozenset(MANIFEST_NAMES)
_BYTECODE = "__pycache__"
# `app.py`, and what editors leave beside it: app.py~, app.py.bak
_CODE = regex(r"\.py[cdiow]?(?![a-z0-9])", re.IGNORECASE)
# What people publish by mistake: keys, data, programs' settings, leftovers of editors and tools.
_DOUBTFUL = regex(
    r"\.(?:key|pem|p12|pfx|jks|kdbx|env|ini|cfg|conf|toml|lock|db|sqlite3?|db3|sql|dump|bak|old|"
    r"orig|swp|log|php|rb|sh)\Z|~\Z|id_(?:rsa|ecdsa|ed25519)\Z|(?:secret|credential|password)s?\.",
    re.IGNORECASE,
)
# Kubernetes mounts a ConfigMap as links to ..data/NAME, where ..data links to ..2025_01_01.
_OF_A_MOUNT = ".."


def is_hidden(segments: Sequence[str]) -> bool:
    """Whether a segment begins with a dot, except `/.well-known` at the front."""
    return any(
        segment[:1] == "." and not (place == 0 and segment == WELL_KNOWN)
        for place, segment in enumerate(segments)
    )


def is_manifest(segments: Sequence[str]) -> bool:
    """Is this the manifest in the folder where `segments` begin?"""
    return len(segments) > 0 and segments[0].lower() in _MANIFESTS


def is_doubtful(name: str) -> bool:
    """Whether a file of this name is probably not for everybody: `"users.sqlite"`, `"app.py"`."""
    return _DOUBTFUL.search(name) is not None or _CODE.search(name) is not None


def is_published(file: Sequence[str], *, site: Sequence[str], code: bool) -> bool:
    """Whether a file of an app may be seen; `file` is where it really is, after following links.

    `file` and `site`, the folder of the entrypoint, are relative to the app's folder. `code`:
    Python's files may be seen too.
    """
    inner = file[len(site) :] if list(file[: len(site)]) == list(site) else file
    shown = [segment for segment in inner if not segment.startswith(_OF_A_MOUNT)]
    if is_hidden(shown) or is_manifest(file) or is_manifest(inner):
        return False
    if any(segment.lower() == _BYTECODE for segment in inner):
        return False
    return code or _CODE.search(file[-1]) is None
