"""Which names of variables say that a value is a credential: apps get those as secrets alone.

DATABASE_URL, my_token, PGPASSWORD, apiKey
"""

from __future__ import annotations

BLOCKED_PREFIXES = (
    "DATABASE_",
    "DB_",
    "AWS_",
    "GITHUB_",
    "OPENAI_",
    "ANTHROPIC_",
    "STRIPE_",
)
BLOCKED_SUFFIXES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
# PWD, the working directory, does not count.
_ENDS = tuple(
    """
    PASSWORD PASSWD PASSPHRASE PASSCODE TOKEN SECRET SECRETS APIKEY SECRETKEY PRIVATEKEY ACCESSKEY
    CREDENTIAL CREDENTIALS _PWD _PASS
    """.split()
)


def is_blocked(name: str) -> bool:
    """Whether a variable is kept by how its name begins or ends: `"DB_URL"`, `"my_token"`; any
    case."""
    upper = name.upper()
    return upper.startswith(BLOCKED_PREFIXES) or upper.endswith(BLOCKED_SUFFIXES)


def is_credential_name(name: str) -> bool:
    """Whether a variable with a value is kept by its name."""
    upper = name.upper()
    return is_blocked(name) or upper.endswith(_ENDS) or upper == "PASS"
