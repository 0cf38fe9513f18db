"""Finds the interpreter of an app's workers, and learns from it what they may import.

    manifest `python`: a path, or "3.12" for python3.12 on the PATH
    else the app's own .venv/bin/python
    else the default: RUNTIME_PYTHON, else the Python that runs the runtime

With `autoInstall`: the one in the environment that the installer makes with the first or the last.

If the runtime is root and the app has a user, all but the default always run as that user, even for
the first look: whoever deploys the app decides what they are, and what their .pth files do.

A worker is started with `-I -S`, which saves up to 40 ms and keeps its environment from changing
what it imports; so it is told what `site` would have found. To find that out, the interpreter is
run once (30 ms), and again when it, its pyvenv.cfg or a folder of its packages has changed. An
interpreter that apps can change runs in the app's sandbox, for the look as for workers. Effects of
import lines in .pth files beyond `sys.path` are ignored: editable installs with import hooks are
not seen, those with a plain path are.

`known` and `Interpreters.default` are for the loop's thread; `find` waits for a process and is for
any other thread.
"""

import os
import re
import site
import sys
import time
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import buntime
from buntime.core.apps.app import App
from buntime.core.errors import ManifestError, UsageError
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown
from buntime.server.pythons.confinement import Confinement, Unconfined
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.probe import Interpreter, editable_hooks, probe
from buntime.server.pythons.users import Users
from buntime.wire import Message

if TYPE_CHECKING:
    from buntime.server.pythons.installer import Installer

# Where an interpreter is, who runs it, and the folder of the app that can change it.
_Place = tuple[str, Identity | None, Path | None]

_RETRY_S = 5.0  # a broken interpreter is not started for each request


class _Known(NamedTuple):
    """The result of a probe, and what it depends on."""

    answer: Interpreter | str  # or why it is unfit
    signature: tuple[object, ...]
    at: float


class Interpreters:
    """Chooses interpreters for apps, and remembers what each of them reported."""

    def __init__(
        self,
        default: str | None,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        tell: Tell | None = None,
        users: Users | None = None,
        confinement: Confinement | None = None,
    ) -> None:
        """`default` is RUNTIME_PYTHON: a path, a name, "3.12". Raises UsageError if it is unfit."""
        self._environ = environ
        self._clock = clock
        self._tell = tell
        self._installer: Installer | None = None
        self._users = Users() if users is None else users
        self._confinement = Unconfined() if confinement is None else confinement
        self._known: dict[_Place, _Known] = {}
        self._closed = Event()
        self.default = running_interpreter() if default is None else self._find_default(default)

    @property
    def count(self) -> int:
        """How many have been probed."""
        return len(self._known)

    def forget(self) -> None:
        """Probe each of them again when it is needed next."""
        self._known = {}

    def known(self, app: App) -> Interpreter | None:
        """The app's interpreter, None if `find` must be called. Raises ManifestError if it is
        unfit.

        Costs a few `stat` calls.
        """
        if not self._users.is_identified(app):
            return None
        user = self._users.identify(app)
        chosen = self._known_at(self._choose(app), app, user)
        if chosen is not None and app.manifest.auto_install:
            installed = self._installed(app, chosen, user, waits=False)
            chosen = None
            if installed is not None:
                chosen = self._known_at(installed, app, user, is_own=True)
        if chosen is None or user is None:
            return chosen
        if not self._users.is_known(app, chosen.executable):
            return None
        return chosen._replace(user=self._users.get(app))

    def find(self, app: App) -> Interpreter:
        """The app's interpreter; runs it if needed. Raises ManifestError if it is unfit.

        With `autoInstall` it may take minutes, until the app's packages are installed.
        """
        user = self._users.identify(app)
        chosen = self._find_at(self._choose(app), app, user)
        if app.manifest.auto_install:
            installed = self._installed(app, chosen, user, waits=True)
            chosen = self._find_at(installed, app, user, is_own=True)
        if user is None:
            return chosen
        found = self._users.find(
            app, chosen.executable, chosen.path, is_trusted=chosen is self.default
        )
        return chosen._replace(user=found)

    def missing(self, app: App) -> str:
        """Why the app's own Python cannot be run, "" where it may; nothing is run to find out."""
        try:
            chosen = self._choose(app)
        except ManifestError as exc:
            return str(exc)
        if chosen is None or os.access(chosen, os.X_OK):
            return ""
        why = "it may not be executed" if os.path.exists(chosen) else "it is not there"
        return _unfit(f"{chosen} cannot be run: {why}", app)

    def out_of_reach(self, app: App) -> str:
        """Why the app's user cannot read its folder, its Python or the runtime's, "" if it can.

        For root: a process becomes that user to find out. The app's own Python is not run.
        """
        try:
            if self._users.identify(app) is not None:
                chosen, default = self._choose(app), self.default
                python = default.executable if chosen is None else chosen
                paths = default.path if chosen is None else ()
                self._users.find(app, python, paths, is_trusted=chosen is None)
        except ManifestError as exc:
            return str(exc)
        return ""

    def inspect(self, app: App) -> None:
        """Raise ManifestError if something would keep the app's packages from being installed.

        Runs nothing, and installs nothing.
        """
        user = self._users.identify(app)
        chosen = self._choose(app)
        executable = self.default.executable if chosen is None else chosen
        self._get_installer().inspect(app, executable, user)

    def check(self, app: App) -> None:
        """Raise ManifestError for what can be found wrong with the app's user, Python and packages.

        Runs nothing, and installs nothing.
        """
        self._users.identify(app)
        if why := self.missing(app):
            raise ManifestError(why)
        if app.manifest.auto_install:
            self.inspect(app)

    def environments(self, app: App) -> tuple[Path, Identity | None]:
        """The folder that contains the app's environments, and who may read it. Raises
        ManifestError.

        The user whose installation writes there: read it as that user, following no link.
        """
        # See `_installed`.
        from buntime.server.pythons.installer import Owner, home_of

        user = self._users.identify(app)
        owner = None if user is None else Owner(user, self._users.environments(app, user))
        return home_of(app, owner, self._environ), user

    def close(self) -> None:
        """End installations and probes soon."""
        self._closed.set()
        if self._installer is not None:
            self._installer.close()

    def _installed(
        self, app: App, chosen: Interpreter, user: Identity | None, *, waits: bool
    ) -> str | None:
        """The Python with the app's packages; None if it does not exist and nobody `waits`."""
        # Takes half as long as starting a bare interpreter, and few apps need it.
        from buntime.server.pythons.installer import Base, Owner

        base = Base(chosen.executable, chosen.version)
        if not waits:
            return self._get_installer().installed(app, base, user)
        owner = None if user is None else Owner(user, self._users.environments(app, user))
        return self._get_installer().ensure(app, base, owner)

    def _get_installer(self) -> "Installer":
        # As above.
        from buntime.server.pythons.installer import Installer

        if self._installer is None:
            self._installer = Installer(
                environ=self._environ, tell=self._tell, confinement=self._confinement
            )
        return self._installer

    def _known_at(
        self, executable: str | None, app: App, user: Identity | None, *, is_own: bool = False
    ) -> Interpreter | None:
        if executable is None:
            return self.default
        known = self._known.get(self._place(executable, app, user, is_own=is_own))
        if known is None or known.signature != _signature(executable, known.answer):
            return None
        if isinstance(known.answer, str) and self._clock() - known.at >= _RETRY_S:
            return None
        return _fit(known.answer, app)

    def _find_at(
        self, executable: str | None, app: App, user: Identity | None, *, is_own: bool = False
    ) -> Interpreter:
        interpreter = self._known_at(executable, app, user, is_own=is_own)
        if interpreter is not None:
            return interpreter
        if executable is None:
            return self.default
        place = self._place(executable, app, user, is_own=is_own)
        order = self._confinement.for_look(app, executable, user) if place[2] else None
        return _fit(self._probe(place, order), app)

    def _place(self, executable: str, app: App, user: Identity | None, *, is_own: bool) -> _Place:
        """What an app's own Python reports counts only for that app."""
        is_own = is_own or self._confinement.is_own(app, executable)
        return executable, user, app.dir if is_own else None

    def _probe(self, place: _Place, order: Message | None) -> Interpreter | str:
        executable, user, owner = place
        answer = probe(executable, self._environ, user=user, sandbox=order, cancelled=self._closed)
        if isinstance(answer, Interpreter):
            answer = answer._replace(is_own=owner is not None)
        signature = _signature(executable, answer)
        self._known[place] = _Known(answer, signature, self._clock())
        return answer

    def _choose(self, app: App) -> str | None:
        """The executable's path, None for the default one. It may not exist."""
        wanted = app.manifest.python
        if wanted is None:
            own = app.dir / ".venv/bin/python"
            has_own = not app.manifest.auto_install and os.path.lexists(own)
            return str(own) if has_own else None
        path = self._locate(wanted, app.dir)
        if path is None:
            raise ManifestError(
                f"{app.source}: python: there is no {shown(_command(wanted))} on the PATH; "
                "install it, or write the path of an interpreter"
            )
        return path

    def _find_default(self, wanted: str) -> Interpreter:
        path = self._locate(wanted, Path.cwd())
        if path is None:
            raise UsageError(f"RUNTIME_PYTHON: there is no {shown(_command(wanted))} on the PATH")
        answer = self._probe((path, None, None), None)
        if isinstance(answer, str):
            raise UsageError(f"RUNTIME_PYTHON: {answer}; name another one")
        return answer

    def _locate(self, wanted: str, folder: Path) -> str | None:
        """The path that `wanted` means; a relative one counts from `folder`."""
        if "/" in wanted:
            home = self._environ.get("HOME", "~")
            return os.path.normpath(folder / re.sub(r"^~(?=/)", lambda _: home, wanted))
        import shutil  # 5 ms, only for apps that name a Python

        found = shutil.which(_command(wanted), path=self._environ.get("PATH", os.defpath))
        return found and os.path.abspath(found)


def running_interpreter() -> Interpreter:
    """The Python that runs this, as apps see it; the binary's has no packages."""
    version = ".".join(map(str, sys.version_info[:3]))
    if not sys.executable:
        raise UsageError("this Python does not know its own path; set RUNTIME_PYTHON")
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.append(site.getusersitepackages())
    ours = str(Path(buntime.__file__).parents[1])
    path = package_path(sys.path, folders, ours)
    return Interpreter(sys.executable, version, path, sys.prefix, hooks=editable_hooks())


def package_path(path: Iterable[str], folders: Iterable[str], ours: str) -> tuple[str, ...]:
    """The entries of `path` that are package folders, or come from a .pth file in one.

    Everything else that a running program may have there is left out: the script's folder,
    PYTHONPATH, a .pyz, and `ours`, the folder of the runtime's own package, unless that is
    installed among the packages.
    """
    packages = [folder for folder in folders if folder in path]
    linked = {line for folder in packages for line in _pth_lines(Path(folder))} - {ours}
    return tuple(dict.fromkeys(entry for entry in path if entry in packages or entry in linked))


def _pth_lines(folder: Path) -> Iterable[str]:
    """The folders that .pth files in `folder` add, as `site` reads them."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".pth"))
    except OSError:
        return
    for name in names:
        try:
            data = (folder / name).read_bytes().removeprefix(BOM_UTF8)
            lines = data.decode("utf-8", "surrogateescape").splitlines()
        except OSError:  # `site` also skips what it cannot read
            continue
        for line in lines:
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                yield os.path.abspath(os.path.join(folder, line.rstrip()))


def _fit(answer: Interpreter | str, app: App) -> Interpreter:
    if isinstance(answer, Interpreter):
        return answer
    raise ManifestError(_unfit(answer, app))


def _unfit(why: str, app: App) -> str:
    return (
        f"{app.source}: {why}; name another one as `python` in the manifest, "
        "or repair or remove the app's .venv"
    )


def _signature(executable: str, answer: Interpreter | str) -> tuple[object, ...]:
    """Changes with the interpreter, with its virtual environment, with what is installed in it."""
    folders = answer.path if isinstance(answer, Interpreter) else ()
    paths = (executable, str(Path(executable).parent.parent / "pyvenv.cfg"), *folders)
    return tuple(map(_stamp, paths))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns


def _command(wanted: str) -> str:
    """`"3.12"` -> "python3.12", "pypy3" -> "pypy3"."""
    return f"python{wanted}" if re.fullmatch(r"3(\.[0-9]+)?", wanted) else wanted
