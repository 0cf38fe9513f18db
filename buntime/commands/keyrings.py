"""Keys of logins in the system's keyring, by the library `keyring` where that is installed.

It is not a requirement of Buntime, and is imported only when a key is stored or read: it takes 0.1
s and may show a dialog. Only backends that keyring itself recommends are used (priority 1 and
more): the Secret Service, KWallet, the keychain of macOS; not those that write a plain file.
"""

import contextlib
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from buntime.core.errors import CommandError

_LIBRARY = "keyring"
_PRIORITY_LEAST = 1


def _service(url: str) -> str:
    """The name in the keyring, for people who look into it: "buntime https://apps.example.com"."""
    return f"buntime {url}"


def _backend() -> Any | None:
    """The keyring of this machine; None if there is no suitable one."""
    if find_spec(_LIBRARY) is None:
        return None
    with contextlib.suppress(Exception):  # whatever error a backend has: then there is none
        found = import_module(_LIBRARY).get_keyring()
        if found.priority >= _PRIORITY_LEAST:
            return found
    return None


def keep(url: str, name: str, key: str) -> str:
    """Store the key of a login there; returns the keyring's name, "" if there is none.

    It is read back, so that no key is stored where it cannot be read again.
    """
    backend = _backend()
    if backend is None:
        return ""
    with contextlib.suppress(Exception):  # locked, or refused by the user: then the file is used
        backend.set_password(_service(url), name, key)
        if backend.get_password(_service(url), name) == key:
            return str(getattr(backend, "name", "keyring"))
    return ""


def get(url: str, name: str) -> str:
    """The key of a login that is stored there. Raises CommandError."""
    backend = _backend()
    try:
        key = None if backend is None else backend.get_password(_service(url), name)
    except Exception as exc:  # of any backend: reported with what to do
        raise _unavailable(url, name, f": {exc}") from exc
    if not isinstance(key, str) or not key:
        raise _unavailable(url, name, "" if backend is None else ", or no longer has it")
    return key


def remove(url: str, name: str) -> None:
    """Remove it from the keyring. Raises CommandError if it is still there."""
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
        f"the key of {name} ({url}) is in the system's keyring, which cannot be read now{why}: "
        "unlock it, or set BUNTIME_KEY, or log in again with --no-keyring",
    )
