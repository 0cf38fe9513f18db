"""As whom an app's workers run: the manifest's `user`, looked up and tried out.

Where the runtime is root a worker becomes that user at its INIT, before any code of the app. All
that it needs after that must be readable for the user: the app, the interpreter, its packages, and
the worker's own code, which therefore lies in a folder of its own (the bundle of the runtime's
user is private). Whether that is so is tried once, in a process that becomes the user in the same
way: 50 ms, when the app is asked for first.

`Users.known` is for the loop's thread; `Users.find` waits for a process and is for any other one.
"""

import json
import os
import pwd
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError, UsageError
from buntime.core.telemetry.records import Tell
from buntime.server.bundle.bundle import ensure_shared_bundle

_TRIAL_TIMEOUT_S = 10.0
_RETRY_S = 5.0  # after a refusal: its reason may have been mended
_MARK = "buntime-trial:"

# Becomes a user, as workers do, and tells what that user cannot read. Gets JSON: uid, gid, groups,
# paths.
_TRIAL = f"""
import json, os, sys
uid, gid, groups, paths = json.loads(sys.argv[1])
paths = [path for path in [os.__file__, *paths] if os.path.exists(path)]

def trouble():
    try:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
    except OSError as exc:
        return f"the runtime is not allowed to change to it ({{exc.strerror}})"
    for path in paths:
        parts = os.path.abspath(path).split("/")
        folders = ["/".join(parts[:end]) or "/" for end in range(1, len(parts))]
        for folder in folders:
            if not os.access(folder, os.X_OK):
                return f"cannot read {{path}}, as it may not enter {{folder}}"
        if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0)):
            return f"cannot read {{path}}"
    return ""

print({_MARK!r} + trouble())
"""


class User(NamedTuple):
    """A user to become. `bundle` is a folder with the worker's code that everybody can read."""

    name: str  # as the manifest has it
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    bundle: str


class _Answer(NamedTuple):
    """What came of a trial: a user, nobody else than the runtime's own, or why not."""

    python: str
    found: User | str | None
    at: float


def _say_nothing(_event: str, _message: str, /, **fields: object) -> None:
    """For whom a warning is of no use."""


class Users:
    """Finds the users of apps, and remembers what was found."""

    def __init__(
        self, *, warn: Tell = _say_nothing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._warn = warn
        self._clock = clock
        self._answers: WeakKeyDictionary[App, _Answer] = WeakKeyDictionary()

    def is_known(self, app: App, python: str) -> bool:
        """Whether `get` has an answer; else `find` must be called first."""
        if app.manifest.user is None:
            return True
        answer = self._answers.get(app)
        if answer is None or answer.python != python:
            return False
        return not isinstance(answer.found, str) or self._clock() - answer.at < _RETRY_S

    def get(self, app: App) -> User | None:
        """The user that the app's workers become, None for the runtime's own.

        Raises ManifestError where it cannot be.
        """
        if app.manifest.user is None:
            return None
        found = self._answers[app].found
        if isinstance(found, str):
            raise ManifestError(f"{app.source}: user: {found}")
        return found

    def find(self, app: App, python: str, paths: tuple[str, ...]) -> User | None:
        """The same, tried out if need be with the interpreter `python`, which needs `paths`."""
        if not self.is_known(app, python):
            found = self._look(app, python, paths)
            self._answers[app] = _Answer(python, found, self._clock())
        return self.get(app)

    def _look(self, app: App, python: str, paths: tuple[str, ...]) -> User | str | None:
        name = app.manifest.user
        assert name is not None
        try:
            uid, gid, groups, home = _resolve(name)
        except KeyError:
            return f"there is no user {name} on this machine; write another name, or uid:gid"
        if os.geteuid() != 0:
            if (uid, gid) == (os.geteuid(), os.getegid()):
                return None
            return (
                f"the runtime is not root, so it cannot run an app as {name}; "
                "start it as root, or as that user, or leave the key out"
            )
        try:
            bundle = str(ensure_shared_bundle(warn=self._warn))
        except UsageError as exc:
            return str(exc)
        entrypoint = str(app.dir / app.entrypoint)
        needed = [str(app.dir), entrypoint, python, *paths, bundle]
        trouble = _try_out(python, [uid, gid, groups, needed])
        if trouble:
            return f"{name} {trouble}; change the rights of the folder or choose another user"
        return User(name, uid, gid, tuple(groups), home, bundle)


def _resolve(name: str) -> tuple[int, int, list[int], str]:
    """(uid, gid, groups, home) of "nobody" or "1000:1000". Raises KeyError for an unknown name."""
    uid, colon, gid = name.partition(":")
    if not colon:
        entry = pwd.getpwnam(name)
        groups = os.getgrouplist(name, entry.pw_gid)
        return entry.pw_uid, entry.pw_gid, groups, entry.pw_dir
    try:
        home = pwd.getpwuid(int(uid)).pw_dir
    except KeyError:  # in a container a number is often all there is
        home = "/"
    return int(uid), int(gid), [int(gid)], home


def _try_out(python: str, trial: list[object]) -> str:
    """What keeps a user from running an app; empty if nothing does."""
    command = [python, "-I", "-S", "-X", "utf8", "-c", _TRIAL, json.dumps(trial)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={},
            cwd="/",
            timeout=_TRIAL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"could not be tried out: {exc}"
    output = done.stdout.decode("utf-8", "replace").strip()
    if not output.startswith(_MARK):
        return f"could not be tried out: {output or done.returncode}"
    return output.removeprefix(_MARK)
