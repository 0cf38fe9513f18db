"""Variables that hold credentials though their names are none of those that are kept from apps.

    PGPASSWORD, TOKEN, SECRET, apiKey           by the name
    CACHE_URL=redis://:hunter2@cache/0          by the value: a URL with a password
    DSN="host=db password=hunter2"              the same

These reach apps today, and their operators are warned. Values are never told.
"""

import re
from collections.abc import Mapping

from buntime.core.apps.environment import is_blocked

# PWD, the working directory, is none.
_NAME = re.compile(
    r".*(?:PASSWORD|PASSWD|PASSPHRASE|PASSCODE|TOKEN|SECRET|SECRETS|APIKEY|SECRETKEY|PRIVATEKEY|"
    r"ACCESSKEY|CREDENTIAL|CREDENTIALS|_PWD|_PASS)|PASS",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"://([^/?#\s]*)@")
_PAIR = re.compile(r"(?:^|[\s;&?,])(?:password|passwd|pwd)\s*=\s*[^\s;&,]", re.IGNORECASE)


def credentials(env: Mapping[str, str]) -> tuple[str, ...]:
    """The names of those that look like one and are passed on, sorted."""
    return tuple(sorted(name for name in env if is_credential(name, env[name])))


def is_credential(name: str, value: str) -> bool:
    """Whether a variable that is passed on looks like one, by its name or its value."""
    if not value or is_blocked(name):
        return False
    if _NAME.fullmatch(name.upper()) is not None:
        return True
    return _PAIR.search(value) is not None or any(
        ":" in found[1] and not found[1].endswith(":") for found in _AUTHORITY.finditer(value)
    )
