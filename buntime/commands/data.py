"""`buntime data list|backup|restore`: what apps keep, and one archive of all of it.

The runtime takes a backup, or this process does if no runtime on this machine holds the state
folder. This process restores it, and no runtime may hold the folder meanwhile: a running one has
what it has read there in memory.
"""

import contextlib
import os
import stat
import sys
from typing import Any, BinaryIO

from buntime.commands.arguments import Command, Parser, check_action
from buntime.commands.client import Api, connect
from buntime.commands.noting import noted
from buntime.commands.start import read_settings
from buntime.commands.tables import print_json, print_rows, say
from buntime.core.backup.form import KINDS, BadBackup
from buntime.core.errors import CommandError, UsageError
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import counted, shown
from buntime.server.backup.folderprocess import Failed
from buntime.server.backup.placing import Target
from buntime.server.backup.reading import Checked, check_backup, restore_backup
from buntime.server.backup.source import Source, sizes_of
from buntime.server.backup.writing import write_backup
from buntime.server.sandbox.probe import find_kernel
from buntime.server.state.filesystem import remote_kind
from buntime.server.state.statefile import NAME as STATE_DB
from buntime.server.state.statefile import StateTrouble, copy_file, open_file
from buntime.server.state.statefolder import StateFolder

_ACTIONS = {"list": 0, "backup": 1, "restore": 1}
_PAGE = 1000
_GZIP = "application/gzip"
_OURS = ("only", "secrets", "dir", "plugin_dirs", "json")


def parser() -> Parser:
    made = Parser(
        "buntime data list|backup FILE|restore FILE [--only KIND] [--to WHERE]",
        "List the data of apps, back up apps, plugins, their data and the state into one "
        "tar.gz, or restore one on this host, into an empty state folder and empty folders of "
        "apps. A backup contains values of secrets only with --secrets: then anybody who has "
        "the file has them.",
        examples=(
            "buntime data list",
            "buntime data backup monday.tar.gz",
            "buntime data backup state.tar.gz --only state --secrets",
            "buntime data restore monday.tar.gz --state-dir /var/lib/buntime --dir /srv/apps",
        ),
    )
    made.add_words("WORD", "list, backup or restore, and the FILE")
    made.add_argument("--only", metavar="KIND", help=f"one of {', '.join(KINDS)}")
    made.add_argument("--secrets", action="store_true", help="with the values of secrets")
    made.add_argument(
        "--dir", metavar="DIR", help="folders of apps, separated by colons [RUNTIME_WORKER_DIRS]"
    )
    made.add_argument(
        "--plugin-dirs", metavar="DIR", help="folders of plugins [RUNTIME_PLUGIN_DIRS]"
    )
    made.add_json()
    made.add_target()
    return made


def run(command: Command, mode: Mode) -> int:
    action, *words = command.words or ("",)
    check_action(command, action, _ACTIONS)
    if len(words) != _ACTIONS[action]:
        raise UsageError(
            f"data {action} takes {'a FILE' if _ACTIONS[action] else 'no more arguments'}"
        )
    only = command.args["only"]
    if only is not None and only not in KINDS:
        raise UsageError(f"--only {shown(only)}: there are {', '.join(KINDS)}")
    try:
        if action == "list":
            return _list(command, mode)
        return (_backup if action == "backup" else _restore)(command, mode, words[0])
    except (Failed, BadBackup, StateTrouble) as exc:
        raise CommandError(f"{action}_failed", str(exc)) from exc
    except OSError as exc:
        if action == "list" and exc.filename is None:
            raise  # its output cannot be written
        place = exc.filename or (words[0] if action == "backup" else "")
        message = f"{place}: {exc.strerror}" if place else str(exc)
        raise CommandError(f"{action}_failed", message) from exc


def _list(command: Command, mode: Mode) -> int:
    api = _api(command, mode)
    if api is None:
        with_state = _here(command, mode)
        answer = {"data": sizes_of(with_state.source()), "next": None}
        with_state.folder.let_go()
    else:
        answer = page = api.get("/api/data", limit=_PAGE)
        while page["next"] is not None:
            page = api.get("/api/data", limit=_PAGE, cursor=page["next"])
            answer["data"] += page["data"]
        answer["next"] = None
    if command.args["json"]:
        print_json(answer)
    elif not answer["data"]:
        say("no data")
    else:
        rows = [
            (each["name"], each["user"], *_counts(each), each.get("maxBytes"))
            for each in answer["data"]
        ]
        print_rows(("NAME", "USER", "FILES", "BYTES", "MAX"), rows)
    return 0


def _counts(folder: dict[str, Any]) -> tuple[str, str]:
    """How many files and bytes it has; `+` if there are more."""
    more = "" if folder["isWhole"] else "+"
    return f"{folder['files']}{more}", f"{folder['sizeBytes']}{more}"


# Backup


def _backup(command: Command, mode: Mode, path: str) -> int:
    """Write to a temporary file in its folder, which gets its name once it is complete and was
    read back. Until then it has no name, where there are such files: a kill leaves nothing."""
    _refuse_other_than_a_file(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise Failed(f"{path} cannot be written: there is no folder {folder}; make it, or name "
                     "another file")  # fmt: skip
    part = f"{path}.{os.getpid()}.part"  # not that of a second backup to the same name
    try:
        with open(_open_unnamed(folder, part), "w+b") as file:
            api = _api(command, mode)
            if api is None:
                _write_here(command, mode, file)
            else:
                query = {"only": command.args["only"], "secrets": command.args["secrets"] or None}
                api.download("/api/data/backup", file, media=_GZIP, **query)
            checked = check_backup(file)
            os.fsync(file.fileno())
            if not os.fstat(file.fileno()).st_nlink:
                _name(file.fileno(), part)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    _print_summary(command, checked, path)
    return 0


def _open_unnamed(folder: str, part: str) -> int:
    """A file without a name; one named `part` where the system or the file system has none."""
    flags = os.O_RDWR | os.O_CLOEXEC
    if sys.platform == "linux" and os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):
            return os.open(folder, flags | os.O_TMPFILE, 0o600)
    return os.open(part, flags | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)


def _name(descriptor: int, path: str) -> None:
    """Give a name to a file that has none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    # Without a descriptor of a folder, which an absolute path does not need, Python would link the
    # link itself.
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


def _refuse_other_than_a_file(path: str) -> None:
    """The rename would remove a device, a pipe or a link: /dev/null, /dev/stdout."""
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise Failed(f"{path} is there, and is not a file; name a new file or one to replace")


def _print_summary(command: Command, checked: Checked, path: str) -> None:
    summary = {
        "file": path,
        "files": checked.files,
        "sizeBytes": checked.size_bytes,
        "changed": checked.changed,
        "leftOut": checked.left,
    }
    if command.args["json"]:
        print_json(summary)
        return
    for name in checked.changed:
        say(f"changed while it was read: {name}")
    for each in checked.left:
        say(f"left out: {each['path']} ({each['why']})")
    say(f"{path}: {counted(checked.files, 'file')}, {counted(checked.size_bytes, 'byte')}")
    if not checked.head.has_secrets:
        say("values of secrets are not in it (--secrets)")


def _api(command: Command, mode: Mode) -> Api | None:
    """The runtime; None if it would be one on this machine, and none is running."""
    try:
        api = connect(command, mode)
        api.url_of("/api")  # asks it
    except CommandError as exc:
        if exc.code != "unreachable":
            raise
        return None
    return api


class _Here(NamedTuple):
    """This process acts as a runtime, with the state folder."""

    folder: StateFolder
    settings: Settings
    args: Command

    def source(self) -> Source:
        settings, only = self.settings, self.args.args["only"]
        return Source(
            settings.state_dir,
            _folders(self.args.args["dir"], settings.worker_dirs),
            _folders(self.args.args["plugin_dirs"], settings.plugin_dirs),
            find_kernel(),
            self._copy_state,
            has_secrets=bool(self.args.args["secrets"]),
            only=frozenset((only,)) if only else frozenset(),
        )

    def _copy_state(self, path: str) -> bool:
        database = os.path.join(self.settings.state_dir, STATE_DB)
        if not os.path.exists(database):
            return False
        connection = open_file(database, has_log=not remote_kind(self.settings.state_dir))
        try:
            copy_file(connection, path)
        finally:
            connection.close()
        return True


def _here(command: Command, mode: Mode, *, for_restore: bool = False) -> _Here:
    """Raises CommandError if another process has the state folder."""
    args = {name: value for name, value in command.args.items() if name not in _OURS}
    bare = Command(command.name, args)
    settings = read_settings(bare, mode, os.environ, needs_apps=False)
    is_off = not settings.has_state
    folder = StateFolder(settings.state_dir, is_off=is_off, for_restore=for_restore)
    folder.take()
    if folder.trouble:
        raise CommandError(folder.fault("").code, folder.trouble)
    return _Here(folder, settings, command)


def _write_here(command: Command, mode: Mode, file: BinaryIO) -> None:
    here = _here(command, mode)

    def write(data: bytes) -> None:
        file.write(data)

    kind = command.args["only"] or "all"
    try:
        with noted(here.folder, "data.backup", kind):
            write_backup(here.source(), write)
    finally:
        here.folder.let_go()


def _folders(named: str | None, known: tuple[str, ...]) -> list[str]:
    folders = named.split(":") if named else [str(each) for each in known]
    return [os.path.abspath(folder) for folder in folders if named or os.path.isdir(folder)]


# Restore


def _restore(command: Command, mode: Mode, path: str) -> int:
    with open(path, "rb") as file:
        try:
            checked = check_backup(file)
        except BadBackup as exc:
            raise BadBackup(f"{path}: {exc}") from exc
        here = _here(command, mode, for_restore=True)
        only = command.args["only"]
        target = Target(
            here.settings.state_dir,
            _targets(command.args["dir"], here.settings.worker_dirs),
            _targets(command.args["plugin_dirs"], here.settings.plugin_dirs),
            find_kernel(),
            only=frozenset((only,)) if only else frozenset(),
        )
        try:
            after = {"files": checked.files, "created": checked.head.created, "only": only}
            with noted(here.folder, "data.restore", os.path.basename(path), after=after):
                placed = restore_backup(file, checked.head, target)
        finally:
            here.folder.let_go()
    if command.args["json"]:
        print_json({"restored": placed, "files": checked.files, "sizeBytes": checked.size_bytes})
        return 0
    for name in placed:
        say(name)
    say(f"restored from a backup of {checked.head.created}, by buntime {checked.head.version}")
    return 0


def _targets(named: str | None, known: tuple[str, ...]) -> list[str]:
    return [os.path.abspath(each) for each in (named.split(":") if named else map(str, known))]
