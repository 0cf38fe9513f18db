"""The user that an app's workers run as: the operator's choice, else the manifest's `user`.

If the runtime is root, a worker becomes that user before any code of the app runs. The user must be
able to read everything it needs: the app, the interpreter, its packages, and the worker's own code,
which is therefore in a separate folder (the bundle of the runtime's user is private). This is tried
out once, in a process that becomes the user in the same way: 50 ms, when the app is first
requested.

A user that a manifest names must not be able to change that manifest, or to replace it by one that
names root. What came through the API never runs as root, unless an operator says so.
RUNTIME_APP_USERS, and `apps` in the config file, name users that no manifest can change.

Once `is_identified` or `is_known` is true, the loop's thread may ask; `identify` and `find` may
wait, and are for any other thread.
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

from buntime.core.apps.app import App
from buntime.core.errors import ManifestError, UsageError
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.server.bundle.bundle import ensure_shared_bundle
from buntime.server.pythons.identity import Identity, resolve
from buntime.server.pythons.usertrial import Needs, try_out

_RETRY_S = 5.0  # after a refusal: its reason may have been fixed
ANY_APP = "*"
_ADVICE = "change the rights of the folder or choose another user"

_T = TypeVar("_T")


class User(NamedTuple):
    """A user to become. `bundle` is a folder with the worker's code that everybody may read.

    `is_from_start`: no interpreter for it is ever started as root, not even one that waits for an
    app.
    """

    identity: Identity
    bundle: str
    is_from_start: bool


class _Answer(NamedTuple):
    """What was found out about an app: a value, or a text that says why there is none."""

    found: Identity | User | str | None
    at: float
    python: str = ""


def _say_nothing(event: str, message: str, /, **fields: object) -> None:
    """Used if warnings are not wanted."""


class Users:
    """Finds the users of apps, and remembers what was found."""

    def __init__(
        self,
        *,
        fixed: Mapping[str, str] | None = None,
        warn: Tell = _say_nothing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fixed` has users by the names of apps, and under "*" the one for all others."""
        self._fixed = fixed or {}
        self._warn = warn
        self._clock = clock
        self._identities: WeakKeyDictionary[App, _Answer] = WeakKeyDictionary()
        self._answers: WeakKeyDictionary[App, _Answer] = WeakKeyDictionary()

    def has_user(self, app: App) -> bool:
        """Whether somebody names a user for the app."""
        return self._named(app) is not None

    # Who it is

    def is_identified(self, app: App) -> bool:
        """Whether `identify` has an answer without looking."""
        return not self.has_user(app) or self._is_fresh(self._identities.get(app))

    def identify(self, app: App) -> Identity | None:
        """The user that the app's workers become, None for the runtime's own.

        Raises ManifestError where it cannot be.
        """
        if app.came_by_api and os.geteuid() == 0 and not self.has_user(app):
            raise ManifestError(f"{app.source}: {_not_as_root(app)}")
        self._find_identity(app)
        return self._checked(app, self._identities, Identity)

    # Whether it will do

    def is_known(self, app: App, python: str) -> bool:
        """Whether `get` has an answer; else `find` must be called first."""
        if not self.has_user(app):
            return True
        answer = self._answers.get(app)
        return answer is not None and answer.python == python and self._is_fresh(answer)

    def get(self, app: App) -> User | None:
        """The user that the app's workers become, None for the runtime's own.

        Raises ManifestError where it cannot be.
        """
        return self._checked(app, self._answers, User)

    def find(
        self, app: App, python: str, paths: tuple[str, ...], *, is_trusted: bool = True
    ) -> User | None:
        """The same, tried out if needed for the interpreter `python`, which needs `paths`.

        For that, root runs `python` if it `is_trusted`, else its own Python.
        """
        if not self.is_known(app, python):
            found = self._look(app, python, paths, is_trusted)
            self._answers[app] = _Answer(found, self._clock(), python)
        return self.get(app)

    def environments(self, app: App, user: Identity) -> Path:
        """A folder of the user for the environments of its apps, created if missing.

        Raises ManifestError where it cannot be.
        """
        try:
            folder = ensure_shared_bundle(warn=self._warn).parent / f"environments-{user.uid}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir(0o700)
                os.chown(folder, user.uid, user.gid)  # nobody else can write to its parent
            state = os.lstat(folder)
        except UsageError as exc:
            raise ManifestError(f"{app.source}: autoInstall: {exc}") from exc
        except OSError as exc:
            reason = f"{exc.filename}: {exc.strerror}"
            raise ManifestError(f"{app.source}: autoInstall: {reason}") from exc
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != user.uid:
            raise ManifestError(f"{app.source}: autoInstall: {folder} is not {user.name}'s")
        return folder

    # How

    def _named(self, app: App) -> str | None:
        return self._fixed_for(app) or app.manifest.user

    def _fixed_for(self, app: App) -> str | None:
        """The operator's choice, by the setting or else in the config file."""
        return self._by_setting(app) or (app.manifest.user if app.manifest.is_user_fixed else None)

    def _by_setting(self, app: App) -> str | None:
        return self._fixed.get(app.name, self._fixed.get(ANY_APP))

    def _is_fresh(self, answer: _Answer | None) -> bool:
        if answer is None:
            return False
        return not isinstance(answer.found, str) or self._clock() - answer.at < _RETRY_S

    def _checked(
        self, app: App, answers: WeakKeyDictionary[App, _Answer], kind: type[_T]
    ) -> _T | None:
        if not self.has_user(app):
            return None
        found = answers[app].found
        if isinstance(found, str):
            place = "RUNTIME_APP_USERS" if self._by_setting(app) else "user"
            raise ManifestError(f"{app.source}: {place}: {found}")
        assert found is None or isinstance(found, kind)
        return found

    def _find_identity(self, app: App) -> Identity | str | None:
        name = self._named(app)
        if name is None:
            return None
        if not self.is_identified(app):
            self._identities[app] = _Answer(self._allowed(app, look_up(name)), self._clock())
        found = self._identities[app].found
        assert not isinstance(found, User)
        return found

    def _allowed(self, app: App, found: Identity | str | None) -> Identity | str | None:
        """What came through the API runs as root only if an operator says so: then it is like any
        app."""
        if not isinstance(found, Identity) or found.uid or not app.came_by_api:
            return found
        return None if self._fixed_for(app) else _not_as_root(app)

    def _look(
        self, app: App, python: str, paths: tuple[str, ...], is_trusted: bool
    ) -> User | str | None:
        identity = self._find_identity(app)
        if not isinstance(identity, Identity):
            return identity
        try:
            bundle = str(ensure_shared_bundle(warn=self._warn))
        except UsageError as exc:
            return str(exc)
        entrypoint = str(app.dir / app.entrypoint)
        needs = Needs(
            readable=(str(app.dir), entrypoint, python, *paths, bundle),
            stdlib=is_trusted,
            guarded=() if self._fixed_for(app) else (str(app.source.absolute()),),
            near=_folders_with_apps(app),
        )
        trouble = try_out(python if is_trusted else sys.executable, identity, needs)
        if trouble:
            return f"{identity.name} {trouble}; {_ADVICE}"
        return User(identity, bundle, is_from_start=not is_trusted)


def _not_as_root(app: App) -> str:
    return (
        "an app deployed by the API does not run as root; name a user for it in the config "
        f"file (apps: {{{app.name}: {{user: NAME}}}}), or for all by RUNTIME_APP_USERS=*=NAME"
    )


def look_up(name: str) -> Identity | str | None:
    """The user with this name, None for the runtime's own, or why no app can run as it."""
    try:
        identity = resolve(name)
    except KeyError:
        return f"there is no user {name} on this machine; write another name, or uid:gid"
    if os.geteuid() == 0:
        return identity
    if (identity.uid, identity.gid) == (os.geteuid(), os.getegid()):
        return None
    return (
        f"the runtime is not root, so it cannot run an app as {name}; "
        "start it as root, or as that user, or leave the key out"
    )


def _folders_with_apps(app: App) -> int:
    """How many folders at and above the manifest's belong to apps: "apps/@acme/wiki/1.0.0" has
    four.

    In each of them, a new folder would make another version, or another app.
    """
    names = app.name.split("/")
    is_in_a_folder_of_versions = not app.source.parent.name.startswith(names[-1])
    return 1 + len(names) + is_in_a_folder_of_versions
