"""Looks at the folders of apps: which ones exist, and what makes each of them an app."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from buntime.core.access.paths import is_within
from buntime.core.apps.app import (
    DEFAULT_ENTRYPOINTS,
    HTML_ENTRYPOINTS,
    PYTHON_ENTRYPOINTS,
    RELEASES,
    App,
    Fault,
    entrypoint_files,
    is_servable,
)
from buntime.core.apps.manifest import MANIFEST_NAMES, SIZE_MAX_BYTES, Manifest, hosts_in
from buntime.core.errors import ManifestError
from buntime.core.values.filetimes import is_settled
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown
from buntime.server.apps.suggestion import suggestion
from buntime.server.apps.zones import check_zones
from buntime.server.defence.regularfile import OutsideError, read_regular
from buntime.server.defence.shortage import is_shortage

_OF_APPS = (*MANIFEST_NAMES, *DEFAULT_ENTRYPOINTS)
# Folders that tools leave behind. Dotfolders are skipped as well.
_NOT_APPS = frozenset(("__pycache__", "node_modules"))
_IS_MODULE = regex(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

# (app's name, version, path to name in messages, manifest's text or None, whether the app came by
# the API) -> Manifest. Raises ManifestError.
Parse = Callable[[str, str | None, Path, bytes | None, bool], Manifest]

# What an App is made from: folder, entrypoint, manifest, source. The last two, the folder's inode
# and the manifest's modification time in ns, show that the code may have changed: a folder moved
# into the place of another one counts as a change, and so does `touch buntime.yaml`.
_MadeFrom = tuple[Path, str, Manifest, Path, int, int]


class AppFolder:
    """The folder of one version of an app, and the result of the last look at it."""

    def __init__(
        self, name: str, version: str | None, path: Path, parse: Parse, *, at: Path | None = None
    ) -> None:
        """`at`: where the folder is while there is nothing at `path` yet."""
        self.at = at or path
        self.checked = 0  # number of the check that last looked at it
        self.found: App | Fault | None = None  # None: there is no such folder
        self.unread: tuple[str, ...] = ()  # further manifests in the folder, which are not read
        self._name = name
        self._version = version
        self._path = path
        self._parse = parse
        # What was parsed last, and the result; an error as its message.
        self._parsed: tuple[Path, bytes | None] | None = None
        self._manifest: Manifest | str = ""
        self._hosts: tuple[str, ...] = ()  # of the manifest, even a faulty one
        self._made_from: _MadeFrom | None = None  # what the last App was made from
        self._listed: tuple[Path, int] | None = None  # manifest, folder's time for `unread`

    def look(self) -> None:
        """Look at everything that makes the app. If nothing changed, `found` is the same object."""
        try:
            made_from = self._read()
        except ManifestError as exc:
            self.found = self._fault(str(exc))
        except OSError as exc:
            if self.found is not None and is_shortage(exc):
                return  # the last result still holds
            where = printable(exc.filename or self._path)
            error = f"{where}: cannot be read: {exc.strerror or exc}"
            if isinstance(exc, PermissionError):
                error += "; let the runtime's user read the app's folder"
            self.found = None if is_gone(self.at) else self._fault(error)
        else:
            if not isinstance(self.found, App) or made_from != self._made_from:
                self.found = App(self._name, self._version, *made_from[:4])
            self._made_from = made_from

    def outdate(self) -> None:
        """Make a new App at the next look, even if nothing on disk has changed."""
        self._made_from = None

    def reparse(self) -> None:
        """Parse the manifest again at the next look: the operators' settings have changed."""
        self._parsed = None

    def _read(self) -> _MadeFrom:
        folder = resolve_folder(self.at)
        read, text, touched_ns = read_manifest(self.at, folder)
        source = self._path / read.name if text is not None else self._path
        state = folder.stat()
        if self._listed != (source, state.st_mtime_ns):
            self._listed = source, state.st_mtime_ns
            self.unread = tuple(map(printable, _unread(self._path, folder, source)))
        if self._parsed != (source, text):
            try:
                by_api = RELEASES in folder.parts
                self._manifest = self._parse(self._name, self._version, source, text, by_api)
                self._hosts = self._manifest.hosts
                check_zones(self._manifest)
            except BadValue as exc:
                self._manifest = f"{printable(source)}: {exc}"
            except ManifestError as exc:
                self._manifest = str(exc)
                self._hosts = hosts_in(text or b"")
            self._parsed = source, text
        if isinstance(self._manifest, str):
            raise ManifestError(self._manifest)
        entrypoint = _find_entrypoint(self._path, folder, source, self._manifest)
        _check_jobs(source, entrypoint, self._manifest)
        return folder, entrypoint, self._manifest, source, state.st_ino, touched_ns

    def _fault(self, error: str) -> Fault:
        return Fault(self._name, self._version, self._path, error, self._hosts)


class Listing:
    """The names of the folders in one folder, read again only when they may have changed.

    What was read is trusted only if the folder's time was settled by then, see `filetimes`.
    """

    __slots__ = ("_is_known", "_wall_ns", "folders", "path", "signature", "trouble")

    def __init__(self, path: Path, wall_ns: Callable[[], int]) -> None:
        self.path = path
        self.folders: tuple[str, ...] = ()
        self.trouble = ""  # why the folder could not be listed
        # Of the folder when it was read; None if the next `refresh` must read it again.
        self.signature: tuple[int, int, int] | None = None
        self._wall_ns = wall_ns
        self._is_known = False  # has it ever been read?

    def refresh(self) -> bool:
        """Read the folder if needed; returns whether the list has changed."""
        before = self.folders, self.trouble
        try:
            self._refresh()
        except OSError as exc:
            self.signature = None
            if not (self._is_known and is_shortage(exc)):  # else the last list still holds
                self.folders, self.trouble = (), exc.strerror or str(exc)
        return before != (self.folders, self.trouble)

    def _refresh(self) -> None:
        now_ns = self._wall_ns()
        state = self.path.stat()
        signature = (state.st_dev, state.st_ino, state.st_mtime_ns)
        if signature == self.signature:
            return
        folders, has_loose_link = list_folders(self.path)
        self.folders, self.trouble, self._is_known = tuple(sorted(folders)), "", True
        # A link that leads to no folder now may lead to one later without changing this folder.
        is_trusted = is_settled(state.st_mtime_ns, now_ns) and not has_loose_link
        self.signature = signature if is_trusted else None


def list_folders(path: Path) -> tuple[list[str], bool]:
    """The names of folders in `path` that may be apps; whether a link there leads to no folder."""
    folders: list[str] = []
    has_loose_link = False
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NOT_APPS:
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif entry.is_symlink():
                has_loose_link = True
    return folders, has_loose_link


def hidden_apps(path: Path) -> list[Path]:
    """The folders in `path` that look like apps but whose names begin with a dot."""
    try:
        with os.scandir(path) as entries:
            hidden = [entry for entry in entries if entry.name.startswith(".")]
            return sorted(
                path / each.name for each in hidden if _is_folder(each) and holds_app(Path(each))
            )
    except OSError:  # whoever lists the other folders reports it
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder that cannot be searched, or a loop of links
        return False


def holds_app(path: Path) -> bool:
    """Whether a folder is an app itself, rather than a folder of versions."""
    folder = str(path)
    return any(os.path.lexists(f"{folder}/{name}") for name in _OF_APPS)


def is_gone(path: Path) -> bool:
    """Whether no folder is there, as opposed to one that cannot be read."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except OSError as exc:
        return exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


def resolve_folder(path: Path) -> Path:
    """The path with its links resolved. Raises OSError."""
    try:
        return path.resolve(strict=True)
    except RuntimeError as exc:  # how pathlib reported ELOOP before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from exc


def read_manifest(path: Path, folder: Path) -> tuple[Path, bytes | None, int]:
    """The manifest's path, text and modification time in ns; if there is none: `path`, None, 0.

    `folder` is `path` with its links resolved. As root, nothing outside of it is read: if the
    manifest were a link to a file of root's, error messages would quote lines of that file.
    """
    inside = str(folder) if os.geteuid() == 0 else None
    for name in MANIFEST_NAMES:
        source = f"{path}/{name}"
        try:
            # The parser reports a text that is too long.
            text, state = read_regular(source, SIZE_MAX_BYTES, inside=inside)
        except FileNotFoundError:
            continue
        except OutsideError as exc:
            raise ManifestError(
                f"{printable(source)}: leads outside the app's folder; put the file itself there"
            ) from exc
        return path / name, text, state.st_mtime_ns
    return path, None, 0


def _unread(path: Path, folder: Path, source: Path) -> list[Path]:
    """The manifests of a folder that are not read because another one comes first.

    Where it is not the first one, manifest.yaml may belong to another tool.
    """
    if source == path:
        return []
    after = MANIFEST_NAMES[MANIFEST_NAMES.index(source.name) + 1 :]
    return [path / name for name in after if os.path.lexists(folder / name)]


def _find_entrypoint(path: Path, folder: Path, source: Path, manifest: Manifest) -> str:
    """The file to run or serve, relative to `folder`, which is `path` with its links resolved."""
    wanted = manifest.entrypoint
    names: tuple[str, ...] = DEFAULT_ENTRYPOINTS
    if wanted is not None:
        names = entrypoint_files(wanted, manifest.path)
    name = next((name for name in names if (folder / name).is_file()), None)
    if name is None and wanted is None:
        raise ManifestError(
            f"{printable(path)}: no entrypoint; looked for {', '.join(names)}; "
            f"add one of them, or name another file as `entrypoint` in {MANIFEST_NAMES[0]}"
            + printable(suggestion(folder))
        )
    if name is None and len(names) > 1:
        raise ManifestError(
            f"{printable(source)}: entrypoint {shown(wanted)} is not in {printable(path)}; "
            f"looked for {', '.join(names)}; correct its name, say `path: [src]` if it lies in "
            "src, or import it in a file of the app if it is a package that is installed"
        )
    if name is None:
        raise ManifestError(
            f"{printable(source)}: entrypoint {shown(wanted)} is not a file in {printable(path)}; "
            + _if_module(folder, wanted, manifest.path)
        )
    if wanted is None and name in HTML_ENTRYPOINTS:
        _refuse_both(path, folder, name)
    if not lies_in(folder, name):
        raise ManifestError(
            f"{printable(source)}: entrypoint {shown(name)} is outside of {printable(path)}; "
            "put the file itself there, as a link must not lead out of the folder"
        )
    if not is_servable(name):
        raise ManifestError(
            f"{printable(source)}: entrypoint {shown(name)} is neither Python nor HTML; "
            "its name must end in .py, .html or .htm"
        )
    if wanted is not None and ":" in wanted and not name.endswith(".py"):
        raise ManifestError(
            f"{printable(source)}: entrypoint {shown(wanted)}: only a Python file has names to "
            "choose from; name the page alone"
        )
    return name


def lies_in(folder: Path, name: str) -> bool:
    """Whether what exists at `name` is in the folder, whose own path has no links."""
    file = f"{folder}/{name}"
    is_plain = "/" not in name and not os.path.islink(file)  # most are, and each app is looked at
    return is_plain or is_within(os.path.realpath(file), str(folder))


def _if_module(folder: Path, wanted: str | None, roots: tuple[str, ...]) -> str:
    """What to do about an entrypoint that is no file: a module needs what it serves beside it."""
    if wanted is not None and _IS_MODULE.fullmatch(wanted):
        named = f"{wanted}:app"
        if any((folder / name).is_file() for name in entrypoint_files(named, roots)):
            return f"a module is named with the app in it, such as `entrypoint: {named}`"
    return "add it or correct its name"


def _check_jobs(source: Path, entrypoint: str, manifest: Manifest) -> None:
    """Refuse a site whose jobs send requests: it has no code to answer them."""
    asking = next((job for job in manifest.cron if job.path is not None), None)
    if asking is not None and not entrypoint.endswith(".py"):
        raise ManifestError(
            f"{printable(source)}: cron: {asking.name}: a site has no code that answers "
            f"{asking.path}; have a program do it, by `run`"
        )


def _refuse_both(path: Path, folder: Path, name: str) -> None:
    """Refuse a page beside a program: a site would show the program's files to everybody."""
    other = next((each for each in PYTHON_ENTRYPOINTS if (folder / each).is_file()), None)
    if other is not None:
        raise ManifestError(
            f"{printable(path)}: both {name} and {other} are here, and a site shows all files of "
            f"its folder; say `entrypoint: {other}` or `entrypoint: {name}` in "
            f"{MANIFEST_NAMES[0]}, or give the site a folder of its own, such as public/{name}"
        )


def printable(path: Path | str) -> str:
    """A path as text that any log can write: bytes that are not UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()
