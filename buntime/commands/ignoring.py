"""Which files of a folder belong to a deploy: by `.gitignore` and `.buntimeignore`.

Both files apply to their folder and below, with git's patterns. The nearest one takes precedence,
and `.buntimeignore` over `.gitignore`, so that `!dist/` in it includes what git ignores. Those of
the folders above count too, up to the top of the repository (`.git`).

What nobody would want is left out unless a pattern says otherwise: history, environments, generated
files, and what looks like a secret. What looks like data is taken: an app may come with a database.
"""

import os
import re
from collections.abc import Iterator

from pathspec import GitIgnoreSpec

from buntime.core.errors import UsageError
from buntime.core.values.enums import Enum
from buntime.core.values.tuples import NamedTuple

IGNORES = (".gitignore", ".buntimeignore")  # the later one goes first
_TOP = ".git"
_FILE_MAX_BYTES = 1 << 20
_LEFT_OUT = frozenset(
    ".git .hg .svn .venv node_modules __pycache__ .DS_Store .mypy_cache .pytest_cache .ruff_cache "
    ".tox .nox .coverage .idea .gitignore .buntimeignore".split()
)
_ENVIRONMENT = "pyvenv.cfg"  # a folder that has it is a virtual environment, which cannot be moved
# `.env` as settings name it; keys, as OpenSSL, OpenSSH, Java and password stores name them.
_SECRET = re.compile(
    r"\.env(\..+)?|.+\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk)|id_(rsa|dsa|ecdsa|ed25519)|\.netrc"
    r"|\.pypirc|\.htpasswd|\.pgpass|\.git-credentials|credentials\.json|service[-_]account.*\.json",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"\.env\.(example|sample|template|dist|defaults)", re.IGNORECASE)
# Databases and their companions, logs: what a program has more likely written than its author.
_DATA = re.compile(
    r".+\.(db|db3|sqlite|sqlite3)(-wal|-shm|-journal)?|.+\.(log|pid)|nohup\.out", re.IGNORECASE
)


class Fate(Enum):
    """What happens to a file or folder."""

    TAKEN = "taken"
    DATA = "data"  # taken, and reported
    IGNORED = "ignored"
    SECRET = "secret"  # left out, and reported


class Scope(NamedTuple):
    """The patterns of one file; `base` is its folder with a trailing slash."""

    base: str
    spec: GitIgnoreSpec


Scopes = tuple[Scope, ...]


def scopes_above(folder: str) -> Scopes:
    """The patterns of the folders above, unless they leave out this folder as a whole."""
    above: list[str] = []
    place = folder
    while not os.path.lexists(os.path.join(place, _TOP)):
        parent = os.path.dirname(place)
        if parent == place:  # no repository: files of other folders do not apply
            return ()
        above.append(parent)
        place = parent
    scopes: Scopes = ()
    for each in reversed(above):
        scopes = (*scopes, *scopes_in(each))
    is_left_out = any(_verdict(scopes, each, is_folder=True) for each in [*above, folder])
    return () if is_left_out else scopes


def scopes_in(folder: str) -> Scopes:
    """The patterns of a folder. Raises UsageError if one of their files cannot be read."""
    return tuple(_read_all(folder))


def _read_all(folder: str) -> Iterator[Scope]:
    for name in IGNORES:
        path = os.path.join(folder, name)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read(_FILE_MAX_BYTES).splitlines()
        except (FileNotFoundError, IsADirectoryError):
            continue
        except OSError as exc:
            raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
        try:
            yield Scope(folder.rstrip("/") + "/", GitIgnoreSpec.from_lines(lines))
        except ValueError as exc:
            raise UsageError(f"{path} has a pattern that cannot be read: {exc}") from exc


def fate(scopes: Scopes, path: str, *, is_folder: bool) -> Fate:
    """What happens to `path`, which is absolute."""
    verdict = _verdict(scopes, path, is_folder=is_folder)
    if verdict is not None:
        return Fate.IGNORED if verdict else Fate.TAKEN
    name = os.path.basename(path)
    if name in _LEFT_OUT or name.endswith((".pyc", ".pyo")):
        return Fate.IGNORED
    if is_folder:
        is_environment = os.path.lexists(os.path.join(path, _ENVIRONMENT))
        return Fate.IGNORED if is_environment else Fate.TAKEN
    is_secret = _SECRET.fullmatch(name) is not None and not _NO_SECRET.fullmatch(name)
    if is_secret:
        return Fate.SECRET
    return Fate.DATA if _DATA.fullmatch(name) else Fate.TAKEN


def _verdict(scopes: Scopes, path: str, *, is_folder: bool) -> bool | None:
    """Whether patterns leave it out (True) or include it (False); None if none matches."""
    verdict: bool | None = None
    for base, spec in scopes:
        if path.startswith(base):
            included = spec.check_file(path[len(base) :] + ("/" if is_folder else "")).include
            verdict = verdict if included is None else included
    return verdict
