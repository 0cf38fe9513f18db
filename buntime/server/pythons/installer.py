"""Makes sure that an app with `autoInstall: true` has its packages before its first start.

    shop/requirements.lock
    shop/.venv-3f2a81c09d4e/    the environment, named after the lock file and the Python
        requirements.lock       what it was installed from
        install.log             what venv and pip wrote
        complete                written last
    shop/.venv -> .venv-3f2a…   for people and their tools; left alone if it is no link of ours
    shop/.venv.lock             held by whoever installs, this runtime or another one

If the app has its own user, all of this except the lock file is in a folder of that user in the
cache, and is done as that user: building a package runs its author's code, and whoever can write to
the app's folder can put links there.

If the app's folder cannot be written, such as that of a plugin in a package that root installed,
all of this except the lock file is in the runtime's own cache, in a folder of the same form.

venv, pip and what they build run in the app's sandbox, where they may write to the environment and
to the app's temporary files.

Guarantees:
- Only a complete environment is used. One whose installation was interrupted is made again.
- An environment is made in its final place, and never changed: the paths in it are correct, and a
  worker keeps using the one it was started from. For that, the last two earlier ones are kept.
- Nothing is written for an app whose environment exists: its folder may then be read-only.
- A failed installation is tried again when the lock file has changed, else not before a minute has
  passed.

`installed` is for the loop's thread; `ensure` waits for processes and is for any other thread.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from buntime.confine import NotConfined
from buntime.core.apps.app import App
from buntime.core.apps.lockfile import BadLock
from buntime.core.errors import ManifestError, NoRoom
from buntime.core.telemetry.records import Tell
from buntime.core.values.digests import sha256
from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.server.bundle.cachefolder import remove_whole
from buntime.server.defence.ownthread import confined
from buntime.server.pythons.confinement import Confinement, Unconfined, Workshop
from buntime.server.pythons.environments import label_of, link_app, own_folder
from buntime.server.pythons.identity import CannotBecome, Identity, run_as
from buntime.server.pythons.locks import Base, Signature, find_lock, is_same, read_lock
from buntime.server.pythons.packages import InstallFailed, Recipe, make_environment

__all__ = ["Base", "Installer", "Owner", "home_of"]

_LIMIT_S = 600.0  # for one app; a hundred packages over a slow line take two minutes
_RETRY_S = 60.0
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_SAID_OF_FULL = tuple(os.strerror(each) for each in _FULL)
_POLL_S = 0.1
_KEPT = 2  # earlier environments, which workers may still run from

_COMPLETE = "complete"
_OURS = regex(r"\.venv-[0-9a-f]{12}")


class Owner(NamedTuple):
    """The user that owns the environments, if not the runtime's own, and a folder of that user."""

    identity: Identity
    folder: Path


@dataclass(frozen=True)
class _Plan:
    """The environment that an app should have."""

    app: App
    recipe: Recipe
    lock: bytes
    home: Path  # the folder that contains it and those of earlier lock files

    def is_done(self) -> bool:
        return _is_whole(self.recipe.folder)


@dataclass(frozen=True)
class _Failure:
    folder: Path
    reason: str
    at: float
    kind: type[ManifestError]


class Installer:
    """Makes the environments of apps, each by one thread at a time."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str] = os.environ,
        tell: Tell | None = None,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = _LIMIT_S,
        confinement: Confinement | None = None,
    ) -> None:
        self._environ = environ
        self._tell = tell or _say_nothing
        self._clock = clock
        self._limit_s = limit_s
        self._confinement = Unconfined() if confinement is None else confinement
        self._closed = threading.Event()
        self._plans: dict[Path, _MadePlan] = {}  # by App.dir
        self._failures: dict[Path, _Failure] = {}  # by App.dir

    def installed(self, app: App, base: Base, user: Identity | None = None) -> str | None:
        """The Python of the app's environment, None if `ensure` must be called.

        Costs a few `stat` calls. Raises ManifestError if it failed a short while ago.
        """
        known = self._plans.get(app.dir)
        if known is None or (known.base, known.user) != (base, user):
            return None
        plan = known.plan
        try:
            if known.signature != find_lock(app):
                return None
            if plan.is_done():
                return plan.recipe.executable
        except OSError:  # `ensure` will get the same error, and report it
            return None
        self._refuse_retry(plan)
        return None

    def ensure(self, app: App, base: Base, owner: Owner | None = None) -> str:
        """The Python of the app's environment, which is made if needed.

        Waits while another thread or runtime makes it. Raises ManifestError if there is no lock
        file, if it is unfit, or if something failed, with the last lines that pip wrote.
        """
        home = home_of(app, owner, self._environ)
        user = None if owner is None else owner.identity
        workshop = self._confinement.for_install(app, base.executable, home, user)
        try:
            return run_as(user, lambda: self._ensure(app, base, home, workshop))
        except (BadLock, CannotBecome, InstallFailed, NotConfined, OSError) as exc:
            kind = NoRoom if _is_of_a_full_disk(exc) else ManifestError
            raise kind(f"{app.source}: autoInstall: {_reason(exc, home)}") from exc

    def _ensure(self, app: App, base: Base, home: Path, workshop: Workshop) -> str:
        # One that was made while its folder could be written is used for as long as it holds.
        plan = self._make_plan(app, base, app.dir if workshop.user is None else home, workshop)
        if not plan.is_done() and plan.home != home:
            plan = self._make_plan(app, base, home, workshop)
        if not plan.is_done():
            home.mkdir(exist_ok=True)
            if home != app.dir:
                link_app(str(home), str(app.dir))
            with self._alone(home):
                self._finish(plan)
        if plan.home == app.dir:
            self._point(plan)
        return plan.recipe.executable

    def close(self) -> None:
        """End running installations soon, and start no more."""
        self._closed.set()

    def inspect(self, app: App, python: str, user: Identity | None = None) -> None:
        """Raise ManifestError for what can be found wrong before anything is installed: at the
        start."""
        try:
            run_as(user, lambda: read_lock(app, Base(python, ""), self._environ))
        except (BadLock, CannotBecome, InstallFailed, OSError) as exc:
            raise ManifestError(f"{app.source}: autoInstall: {_reason(exc, app.dir)}") from exc

    def _make_plan(self, app: App, base: Base, home: Path, workshop: Workshop) -> _Plan:
        lock = read_lock(app, base, self._environ)
        recipe = Recipe(
            folder=home / f".venv-{_digest(lock.text, base)}",
            python=base.executable,
            lock_name=lock.path.name,
            checks_hashes=lock.has_hashes,
            uv=lock.uv,
            working_dir=app.dir,
            workshop=workshop,
        )
        plan = _Plan(app, recipe, lock.text, home)
        self._plans[app.dir] = _MadePlan(base, workshop.user, lock.signature, plan)
        return plan

    def _finish(self, plan: _Plan) -> None:
        """Install, unless somebody else did, or tried, while this waited for the lock."""
        if plan.is_done():
            return
        self._refuse_retry(plan)
        try:
            self._install(plan)
        except (InstallFailed, NotConfined, OSError) as exc:
            reason = _reason(exc, plan.home)
            kind = NoRoom if _is_of_a_full_disk(exc) else ManifestError
            self._failures[plan.app.dir] = _Failure(plan.recipe.folder, reason, self._clock(), kind)
            raise
        self._failures.pop(plan.app.dir, None)

    def _install(self, plan: _Plan) -> None:
        recipe = plan.recipe
        what = {"app": plan.app.key, "lock": recipe.lock_name, "python": recipe.python}
        self._tell("packages.installing", "installing the app's packages", **what)
        started = time.monotonic()
        _remove_old(plan.home)
        recipe.folder.mkdir()
        (recipe.folder / recipe.lock_name).write_bytes(plan.lock)
        confined(
            recipe.workshop.order,
            lambda: make_environment(
                recipe, environ=self._environ, limit_s=self._limit_s, cancelled=self._closed
            ),
        )
        if recipe.uv is not None and not is_same(recipe.uv.lock, plan.lock):
            raise InstallFailed(f"{recipe.lock_name} changed in the meantime; trying again")
        (recipe.folder / _COMPLETE).touch()
        seconds = round(time.monotonic() - started, 1)
        self._tell("packages.installed", "installed the app's packages", **what, seconds=seconds)

    def _refuse_retry(self, plan: _Plan) -> None:
        failure = self._failures.get(plan.app.dir)
        if failure is None or failure.folder != plan.recipe.folder:
            return
        if self._clock() - failure.at < _RETRY_S:
            raise failure.kind(f"{plan.app.source}: autoInstall: {failure.reason}")

    @contextlib.contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Hold the app's lock, which the system drops when the runtime dies."""
        descriptor = _open_lock(folder / ".venv.lock")
        try:
            while not _try_lock(descriptor):
                if self._closed.wait(_POLL_S):
                    raise InstallFailed("the runtime is ending")
            yield
        finally:
            os.close(descriptor)

    def _point(self, plan: _Plan) -> None:
        """Make `.venv` lead to the environment; workers do not need it, so it may fail."""
        link = plan.app.dir / ".venv"
        fresh = plan.app.dir / f".venv-{os.getpid()}-{threading.get_ident()}"
        try:
            target = os.readlink(link) if link.is_symlink() else ""
            is_theirs = os.path.lexists(link) and not _OURS.fullmatch(target)
            if is_theirs or target == plan.recipe.folder.name:
                return
            fresh.symlink_to(plan.recipe.folder.name)
            try:
                fresh.replace(link)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as exc:
            self._tell(
                "packages.link_failed",
                "cannot update the app's .venv link",
                app=plan.app.key,
                error=str(exc),
            )


class _MadePlan(NamedTuple):
    """A plan, and what it was made from."""

    base: Base
    user: Identity | None
    signature: Signature
    plan: _Plan


def home_of(app: App, owner: Owner | None, environ: Mapping[str, str]) -> Path:
    """The folder for new environments of the app.

    An owner has one. Otherwise it is the app's own folder, or if that cannot be written and there
    is a cache, a folder in the cache."""
    if owner is not None:
        return owner.folder / _label(app)
    if os.access(app.dir, os.W_OK | os.X_OK):
        return app.dir
    cache = own_folder(environ)
    return app.dir if cache is None else Path(cache, _label(app))


def _label(app: App) -> str:
    """A name for the folder of an app's environments: "shop@1.2.0-3f2a81c0"."""
    digest = sha256(os.fsencode(app.dir)).hex()[:8]
    return f"{label_of(app.key)}-{digest}"


def _open_lock(path: Path) -> int:
    """Follows no link, and never blocks: whoever can write to the folder may have put one there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def _digest(lock: bytes, base: Base) -> str:
    """Each combination of lock file, minor version and Python has its own environment.

    A new patch release takes over the environments of the one it replaces, as does a runtime in a
    new virtual environment, whose Python is a link.
    """
    minor = ".".join(base.version.split(".")[:2])
    whole = b"\0".join((minor.encode(), os.fsencode(os.path.realpath(base.executable)), lock))
    return sha256(whole).hex()[:12]


def _is_whole(folder: Path) -> bool:
    """Whether its installation was finished, and its Python is there: a copy may lack that link."""
    return (folder / _COMPLETE).exists() and os.path.lexists(folder / "bin/python")


def _remove_old(folder: Path) -> None:
    """Remove incomplete environments, and all complete ones except the latest."""
    complete: list[tuple[float, Path]] = []
    for path in [path for path in folder.iterdir() if _OURS.fullmatch(path.name)]:
        if _is_whole(path):
            complete.append(((path / _COMPLETE).stat().st_mtime, path))
        else:
            remove_whole(str(path))
    for _, path in sorted(complete)[:-_KEPT]:
        remove_whole(str(path))


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_of_a_full_disk(exc: Exception) -> bool:
    """Whether there was no room, for us, or for pip according to its output."""
    if isinstance(exc, OSError):
        return exc.errno in _FULL
    return isinstance(exc, InstallFailed) and any(each in str(exc) for each in _SAID_OF_FULL)


def _reason(exc: Exception, home: Path) -> str:
    if not isinstance(exc, OSError):
        return str(exc)
    reason = f"{exc.filename or home}: {exc.strerror or exc}"
    if exc.errno in _FULL:
        return f"{reason}; make room there"
    if exc.errno == errno.EINVAL:  # no file is involved, nor rights
        return reason
    return f"{reason}; let the runtime write to {home}, or name a cache of its own (XDG_CACHE_HOME)"


def _say_nothing(_event: str, _message: str, /, **fields: object) -> None:
    """Used if nobody wants to know."""
