"""Keys of logins in the system's keyring, by the library `keyring` where that is installed.

It is no requirement of Buntime's, and is imported when a key goes in or comes out: it takes 0.1 s
and may ask on the desktop. A backend counts that keyring itself recommends (priority 1 and more):
the Secret Service, KWallet, the keychain of macOS; not those that write a file in plain.
"""

import contextlib
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from buntime.core.errors import CommandError

_LIBRARY = "keyring"
_PRIORITY_LEAST = 1


def _service(url: str) -> str:
    """What the keyring calls it, for who looks into it: "buntime https://apps.example.com"."""
    return f"buntime {url}"


def _backend() -> Any | None:
    """The keyring of this machine; None where there is none that will do."""
    if find_spec(_LIBRARY) is None:
        return None
    with contextlib.suppress(Exception):  # whatever a backend runs into: then there is none
        found = import_module(_LIBRARY).get_keyring()
        if found.priority >= _PRIORITY_LEAST:
            return found
    return None


def keep(url: str, name: str, key: str) -> str:
    """Keep the key of a login there; what the keyring is called, "" where there is none.

    It is read back, so that nothing is kept in a place that does not give it again.
    """
    backend = _backend()
    if backend is None:
        return ""
    with contextlib.suppress(Exception):  # locked, refused by its user: the file is there for that
        backend.set_password(_service(url), name, key)
        if backend.get_password(_service(url), name) == key:
            return str(getattr(backend, "name", "keyring"))
    return ""


def get(url: str, name: str) -> str:
    """The key of a login that lies there. Raises CommandError."""
    backend = _backend()
    try:
        key = None if backend is None else backend.get_password(_service(url), name)
    except Exception as exc:  # of any backend: told with what to do
        raise _unavailable(url, name, f": {exc}") from exc
    if not isinstance(key, str) or not key:
        raise _unavailable(url, name, "" if backend is None else ", and it has none")
    return key


def remove(url: str, name: str) -> None:
    """Have the keyring forget it. Raises CommandError where it is there still."""
    backend = _backend()
    if backend is None:
        raise _unavailable(url, name, "")
    try:
        if backend.get_password(_service(url), name) is not None:
            backend.delete_password(_service(url), name)
    except Exception as exc:  # see `get`
        raise _unavailable(url, name, f": {exc}") from exc


def _unavailable(url: str, name: str, why: str) -> CommandError:
    return CommandError(
        "keyring_unavailable",
        f"the key of {name} ({url}) lies in the system's keyring, which cannot be asked now{why}: "
        "unlock it, or set BUNTIME_KEY, or log in again with --no-keyring",
    )
