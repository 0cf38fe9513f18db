"""Variables that hold credentials. Workers get them only as secrets, see grants.py.

    DATABASE_URL, my_token                      by how the name begins or ends
    PGPASSWORD, TOKEN, SECRET, apiKey           by one word in the name
    CACHE_URL=redis://:hunter2@cache/0          by the value: a URL with a password
    DSN="host=db password=hunter2"              the same

Values are never shown. The names are in sdk/credentialnames.py, as workers advise about them.
"""

import re
from collections.abc import Mapping

from buntime.core.values.regex import regex
from buntime.sdk.credentialnames import is_blocked, is_credential_name

_AUTHORITY = regex(r"://([^/?#\s]*)@")
_PAIR = regex(r"(?:^|[\s;&?,])(?:password|passwd|pwd)\s*=\s*[^\s;&,]", re.IGNORECASE)


def withheld(env: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the variables that are kept from workers, sorted."""
    return tuple(sorted(name for name in env if is_withheld(name, env[name])))


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable is kept from workers."""
    return is_blocked(name) or is_credential(name, value)


def is_credential(name: str, value: str) -> bool:
    """Whether a variable is kept by one word in its name, or by its value."""
    if not value or is_blocked(name):
        return False
    if is_credential_name(name):
        return True
    return _PAIR.search(value) is not None or any(
        ":" in found[1] and not found[1].endswith(":") for found in _AUTHORITY.finditer(value)
    )
