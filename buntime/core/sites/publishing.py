"""What a site publishes of the folder that it lies in.

All files beside the entrypoint and below, but for

- what begins with a dot, `.well-known` aside: .env, .git, .venv;
- the app's manifest;
- `__pycache__`;
- Python's sources and bytecode, where no manifest names the entrypoint: a folder that has an
  index.html by chance is no wish to show the program beside it. Who writes `entrypoint:
  index.html` has decided.

A link counts for what it leads to, by the same rules: `notes.txt -> .env` is not published.
"""

import re
from collections.abc import Sequence

from buntime.core.apps.manifest import MANIFEST_NAMES
from buntime.core.values.regex import regex

WELL_KNOWN = ".well-known"
# A site's settings are not part of the site. Compared in lower case: macOS opens either.
_MANIFESTS = frozenset(MANIFEST_NAMES)
_BYTECODE = "__pycache__"
# `app.py`, and what editors make of it: app.py~, app.py.bak
_CODE = regex(r"\.py[cdiow]?(?![a-z0-9])", re.IGNORECASE)
# What people publish by mistake: keys, data, programs' settings, what editors and tools leave.
_DOUBTFUL = regex(
    r"\.(?:key|pem|p12|pfx|jks|kdbx|env|ini|cfg|conf|toml|lock|db|sqlite3?|db3|sql|dump|bak|old|"
    r"orig|swp|log|php|rb|sh)\Z|~\Z|id_(?:rsa|ecdsa|ed25519)\Z|(?:secret|credential|password)s?\.",
    re.IGNORECASE,
)
# Kubernetes mounts a ConfigMap as links to ..data/NAME, and ..data is one to ..2025_01_01.
_OF_A_MOUNT = ".."


def is_hidden(segments: Sequence[str]) -> bool:
    """Whether a segment begins with a dot, that of `/.well-known` at the front aside."""
    return any(
        segment[:1] == "." and not (place == 0 and segment == WELL_KNOWN)
        for place, segment in enumerate(segments)
    )


def is_manifest(segments: Sequence[str]) -> bool:
    """Is this the manifest in the folder that `segments` begin at?"""
    return len(segments) > 0 and segments[0].lower() in _MANIFESTS


def is_doubtful(name: str) -> bool:
    """Whether a file of this name is hardly meant for everybody: `"users.sqlite"`, `"app.py"`."""
    return _DOUBTFUL.search(name) is not None or _CODE.search(name) is not None


def is_published(file: Sequence[str], *, site: Sequence[str], code: bool) -> bool:
    """Whether a file of an app may be seen: where it really is, links followed.

    `file` and `site`, the folder of the entrypoint, count from the app's folder. `code`: Python's
    files too.
    """
    inner = file[len(site) :] if list(file[: len(site)]) == list(site) else file
    shown = [segment for segment in inner if not segment.startswith(_OF_A_MOUNT)]
    if is_hidden(shown) or is_manifest(file) or is_manifest(inner):
        return False
    if any(segment.lower() == _BYTECODE for segment in inner):
        return False
    return code or _CODE.search(file[-1]) is None
