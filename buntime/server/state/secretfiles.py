"""The files that secrets of apps are kept in.

    STATE/secrets/             0700, of the runtime's user
      shop/DATABASE_URL        0600; set by operators
      shop@preview/…, @acme+shop/…, plugin+audit/…
    RUNTIME_SECRETS_DIR/       read alone: what Kubernetes or systemd lay there
      shop/DATABASE_URL
      shop.DATABASE_URL        the same, flat
      shop/..data -> …         Kubernetes' own; names link into it

RUNTIME_SECRETS_DIR takes precedence, because secrets kept there are also changed there. Links are
followed there, but not in the state folder. All of this may wait for a disk.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from buntime.core.apps.grants import (
    VALUE_MAX_BYTES,
    command_to_set,
    folder_of,
    holder_in,
    parse_name,
    parse_value,
)
from buntime.core.errors import ServerFault, StateOff
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue
from buntime.server.defence.regularfile import read_regular

FOLDER = "secrets"
IN_STATE, MOUNTED = "state", "RUNTIME_SECRETS_DIR"
IN_FILES = "put secrets into the folder of RUNTIME_SECRETS_DIR"
_ENTRIES_MAX = 10_000  # of one folder
_SWAPS_MAX = 5


class Stored(NamedTuple):
    """A secret as it was found; with a `fault` it has no value."""

    value: str
    set_s: float  # since 1970
    origin: str  # IN_STATE, or MOUNTED
    fault: str = ""
    is_lasting: bool = True  # a fault, unless the disk's: a disk may return the value later

    def __repr__(self) -> str:
        return f"Stored({self.origin}, {self.fault or 'a value'})"


class _Swapped(Exception):
    """What was listed is gone: Kubernetes has just replaced it by another version."""


# By holder, then by name.
Found = Mapping[str, Mapping[str, Stored]]


class SecretFiles:
    """Reads and writes them; keeps nothing."""

    def __init__(self, state_dir: str | None) -> None:
        """None: there is no state folder."""
        self.folder = os.path.join(state_dir, FOLDER) if state_dir is not None else None

    def __repr__(self) -> str:
        return f"SecretFiles({self.folder})"

    def read(self, mounted: str | None) -> Found:
        """All secrets. Raises OSError if one of the folders cannot be listed."""
        for _ in range(_SWAPS_MAX):
            with contextlib.suppress(_Swapped):
                return self._read(mounted)
        raise OSError(errno.EAGAIN, "keeps changing", mounted)

    def _read(self, mounted: str | None) -> Found:
        found: dict[str, dict[str, Stored]] = {}
        if self.folder is not None:
            for holder, name, path in _listed(self.folder, follows=False):
                found.setdefault(holder, {})[name] = _read(path, IN_STATE, follows=False)
        if mounted is not None:
            for holder, name, path in _mounted(mounted):
                found.setdefault(holder, {})[name] = _read(path, MOUNTED, follows=True)
        return found

    def set(self, holder: str, name: str, value: str) -> None:
        """Store a value and replace the previous one, which stays if that fails.

        Raises OSError.
        """
        root = self._root()
        folder = os.path.join(root, folder_of(holder))
        for each in (root, folder):
            _make_folder(each)
        fresh = os.path.join(folder, f".{name}.{os.urandom(4).hex()}")
        try:
            _write(fresh, value.encode("utf-8"))
            os.rename(fresh, os.path.join(folder, name))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise
        _sync(folder)

    def remove(self, holder: str, name: str) -> bool:
        """Whether there was one. Raises OSError."""
        folder = os.path.join(self._root(), folder_of(holder))
        try:
            os.unlink(os.path.join(folder, name))
        except (FileNotFoundError, NotADirectoryError):
            return False
        _sync(folder)
        with contextlib.suppress(OSError):  # there are others
            os.rmdir(folder)
        return True

    def _root(self) -> str:
        if self.folder is None:
            raise StateOff(IN_FILES)
        return self.folder


def secret_json(name: str, stored: Stored) -> dict[str, object]:
    """What operators are told about it: not its value."""
    fault = {"fault": stored.fault} if stored.fault else {}
    at = datetime.fromtimestamp(stored.set_s, UTC) if stored.set_s else None
    set_at = at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None
    return {"name": name, "origin": stored.origin, "setAt": set_at, **fault}


def not_set(holder: str, missing: Mapping[str, str], *, in_files_alone: bool = False) -> str:
    """For each secret that an app asks for and does not get, by name: why."""
    names = list(missing)
    one = len(names) == 1
    text = f"the {'secret' if one else 'secrets'} {', '.join(names)} {'is' if one else 'are'} not "
    it = "it" if one else "each"
    if in_files_alone:
        place = f"{folder_of(holder)}/{names[0]}"
        text += f"set; put {it} into {MOUNTED}, as {place} (RUNTIME_STATE is none)"
    else:
        text += f"set; set {it} with: {command_to_set(holder, names[0])}"
    faults = [f"{name}: {why}" for name, why in missing.items() if why]
    return "; ".join([text, *faults])


def state_fault(exc: OSError) -> ServerFault:
    """The answer if a value cannot be written."""
    why = exc.strerror or str(exc)
    return ServerFault(
        503, "state_unavailable", f"the secret cannot be kept in {exc.filename}: {why}"
    )


def _mounted(folder: str) -> Iterator[tuple[str, str, str]]:
    """Holder, name and path of each secret in RUNTIME_SECRETS_DIR."""
    with os.scandir(folder) as entries:  # must be there
        names = sorted(each.name for each in entries)
    for entry in names[:_ENTRIES_MAX]:
        holder, dot, name = entry.rpartition(".")
        if not dot or not _is_name(name):
            continue
        for_whom = holder_in(holder)
        if for_whom is not None:
            yield for_whom, name, os.path.join(folder, entry)
    yield from _listed(folder, follows=True)


def _listed(folder: str, *, follows: bool) -> Iterator[tuple[str, str, str]]:
    """The same for FOLDER/APP/NAME."""
    for entry in _entries(folder):
        holder, path = holder_in(entry), os.path.join(folder, entry)
        if holder is None or not _is_folder(path, follows=follows):
            continue
        for name in _entries(path):
            if _is_name(name):
                yield holder, name, os.path.join(path, name)


def _entries(folder: str) -> list[str]:
    """Names in a folder, in order, without those that begin with a dot; none if there is no
    folder."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(each.name for each in entries if not each.name.startswith("."))
    except FileNotFoundError:
        return []
    return names[:_ENTRIES_MAX]


def _is_folder(path: str, *, follows: bool) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path, follow_symlinks=follows).st_mode)
    except OSError:
        return False


def _is_name(text: str) -> bool:
    try:
        return bool(parse_name(text))
    except BadValue:
        return False


def _read(path: str, origin: str, *, follows: bool) -> Stored:
    try:
        if not follows and os.path.islink(path):
            raise OSError(errno.ELOOP, "is a link", path)
        data, state = read_regular(path, VALUE_MAX_BYTES)
    except FileNotFoundError as exc:
        raise _Swapped from exc
    except OSError as exc:
        fault = f"{path}: {exc.strerror or exc}"
        return Stored("", 0.0, origin, fault, is_lasting=exc.errno in (errno.ELOOP, errno.EINVAL))
    try:
        return Stored(parse_value(data), state.st_mtime, origin)
    except BadValue as exc:
        return Stored("", state.st_mtime, origin, f"{path}: {exc}")


def _make_folder(path: str) -> None:
    """Create it, for the user whose folder contains it; refuses a link. Raises OSError."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise OSError(errno.ENOTDIR, "is not a folder; move it away", path) from None
        return
    _give_to_owner(path, os.path.dirname(path))


def _write(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    except OSError as exc:
        exc.filename = exc.filename or path
        raise
    finally:
        os.close(file)
    _give_to_owner(path, os.path.dirname(path))


def _give_to_owner(path: str, folder: str) -> None:
    """If root writes for a runtime of another user, the file is given to that user."""
    if os.geteuid() == 0:
        owner = os.lstat(folder)
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: str) -> None:
    """Make a rename survive a crash of the machine, if the file system can do that."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
