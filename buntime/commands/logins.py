"""The hosts that `buntime login` has saved, and their keys.

$XDG_CONFIG_HOME/buntime/hosts.json, else ~/.config/buntime/hosts.json, 0600

{"default": "prod", "hosts": {"prod": {"url": "https://apps.example.com", "key": "bt_..."}}}

A key in the system's keyring is not in it; it has `"keyring": true` instead.
"""

import contextlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from buntime.core.errors import UsageError

_FILE = "buntime/hosts.json"
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Login:
    """One host. `is_insecure`: its key may be sent unencrypted over the network.

    `in_keyring`: its key is "" here, and is in the system's keyring, see `keyrings`.
    """

    url: str
    key: str = field(repr=False)
    is_insecure: bool = False
    in_keyring: bool = False


@dataclass(frozen=True)
class Logins:
    """The saved logins, by name; `default` is "" or one of the names."""

    hosts: Mapping[str, Login] = field(default_factory=dict)
    default: str = ""

    def named(self, where: str) -> tuple[str, Login] | None:
        """The login of a name, or of a URL."""
        if where in self.hosts:
            return where, self.hosts[where]
        return next((each for each in self.hosts.items() if each[1].url == where), None)

    def with_login(self, name: str, login: Login) -> "Logins":
        """It becomes the default, because a new login is meant to be used."""
        return Logins({**self.hosts, name: login}, name)

    def without(self, name: str) -> "Logins":
        """Then there is no default, rather than an unexpected host."""
        hosts = {each: login for each, login in self.hosts.items() if each != name}
        return replace(self, hosts=hosts, default=self.default if self.default != name else "")


def logins_path(environ: Mapping[str, str]) -> str:
    """Where they are saved. Raises UsageError if there is no home folder."""
    config = environ.get("XDG_CONFIG_HOME", "")
    if config.startswith("/"):  # the specification wants relative ones ignored
        return os.path.join(config, _FILE)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise UsageError(
            "there is no place for logins: set HOME or XDG_CONFIG_HOME, or use --to URL and "
            "BUNTIME_KEY"
        )
    return os.path.join(home, ".config", _FILE)


def read_logins(environ: Mapping[str, str]) -> Logins:
    """The saved logins. Raises UsageError if the file cannot be used, or others can read it."""
    try:
        path = logins_path(environ)
    except UsageError:
        return Logins()
    try:
        with open(path, "rb") as file:
            mode, data = os.fstat(file.fileno()).st_mode, file.read(_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return Logins()
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
    if stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"{path} contains keys, and other users may open it; chmod 600 {path}")
    try:
        saved = json.loads(data)
        hosts = {str(name): _login(each) for name, each in saved["hosts"].items()}
        default = saved.get("default", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UsageError(
            f"{path} is not what buntime login writes; remove it and log in again"
        ) from exc
    return Logins(hosts, default if default in hosts else "")


def _login(saved: Mapping[str, object]) -> Login:
    in_keyring = saved.get("keyring") is True
    url, key = saved["url"], "" if in_keyring else saved["key"]
    if not isinstance(url, str) or not isinstance(key, str):
        raise TypeError("not a login")
    return Login(url, key, saved.get("insecure") is True, in_keyring)


def write_logins(logins: Logins, environ: Mapping[str, str]) -> str:
    """Save them, by one rename; returns the path. Raises UsageError."""
    path = logins_path(environ)
    hosts = {name: _to_json(login) for name, login in logins.hosts.items()}
    text = json.dumps({"default": logins.default, "hosts": hosts}, indent=1) + "\n"
    fresh = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with open(fd, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            os.replace(fresh, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    return path


def _to_json(login: Login) -> dict[str, object]:
    fields = asdict(login)
    is_insecure = fields.pop("is_insecure")
    if fields.pop("in_keyring"):
        fields["keyring"] = True
        del fields["key"]
    return fields | ({"insecure": True} if is_insecure else {})
