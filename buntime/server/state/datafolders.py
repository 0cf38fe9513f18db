"""Folders for the data of apps and plugins with `data: true`, which the runtime never removes.

    STATE/data/             0711
      shop/                 0700, of the app's user; all versions of the app share it
      @acme+blog/
      plugin+keyval/        no name of an app has a "+"

An app that runs as another user than before does not get the folder: its files would still belong
to the first user. A preview of a version gets its own folder, empty at first.

Nothing in `data` is a link: an app's sandbox closes the folders of others by their paths.
"""

import os
import stat
from pathlib import Path

from buntime.server.pythons.identity import Identity
from buntime.server.state.statefolder import DATA, OFF, StateFolder, prepare_state

NAME = DATA
_PASSABLE = 0o711
_PRIVATE = 0o700
_OF_OTHERS = 0o077
_ELSEWHERE = (
    "keep lasting data in a database that all replicas share, without `data: true`; or run the app "
    "with RUNTIME_STATE=folder, in one replica"
)


class NoData(Exception):
    """An app's data folder cannot be provided; says why, and what to do."""


class OthersData(NoData):
    """The folder belongs to another user than the app's. `text` says so, without what to do."""

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(f"{text}; {advice}")
        self.text = text


class DataFolders:
    """Makes the folders when workers need them."""

    def __init__(self, state: StateFolder) -> None:
        self._state = state
        self._has_state: set[bool] = set()  # prepared; by whether other users pass through it

    def __repr__(self) -> str:
        return f"DataFolders({self.root})"

    @property
    def root(self) -> str:
        """Where the folders are, links resolved."""
        return os.path.join(os.path.realpath(self._state.path), NAME)

    def path_of(self, app_name: str) -> str:
        """`"@acme/blog"` -> "STATE/data/@acme+blog", `"plugin:kv"` -> "STATE/data/plugin+kv"."""
        return os.path.join(self.root, app_name.replace(":", "+").replace("/", "+"))

    def ready(self, app_name: str, user: Identity | None) -> str:
        """The app's folder, created if needed; None is the runtime's own user. Raises NoData."""
        if self._state.is_off:
            raise NoData(f"{OFF}; {_ELSEWHERE}")
        if self._state.trouble:
            raise NoData(self._state.trouble)
        folder = self.path_of(app_name)
        try:
            self._prepare(is_shared=user is not None)
            _make(folder, user)
            _check(folder, os.geteuid() if user is None else user.uid)
        except OSError as exc:
            raise NoData(
                f"{exc.filename or folder}: {exc.strerror or exc}; correct that, or "
                "set RUNTIME_STATE_DIR to a writable folder"
            ) from exc
        return folder

    def _prepare(self, *, is_shared: bool) -> None:
        if is_shared in self._has_state:
            return
        reason = prepare_state(self._state.path, is_shared=is_shared)
        if reason:
            raise NoData(f"{reason}; change that, or set RUNTIME_STATE_DIR to another folder")
        root = Path(self.root)
        root.mkdir(mode=_PRIVATE, exist_ok=True)
        state = root.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            raise NoData(f"{root} is not a folder of the runtime's user; move it away")
        if stat.S_IMODE(state.st_mode) != _PASSABLE:
            root.chmod(_PASSABLE)
        self._has_state.add(is_shared)


def _make(folder: str, user: Identity | None) -> None:
    try:
        os.mkdir(folder, _PRIVATE)
    except FileExistsError:
        # Made for another user, or the runtime was killed before it changed the owner.
        is_ours = user is not None and os.lstat(folder).st_uid == os.geteuid()
        if not is_ours or not _is_empty(folder):
            return
    if user is not None:
        os.chown(folder, user.uid, user.gid, follow_symlinks=False)


def _is_empty(folder: str) -> bool:
    return not os.path.islink(folder) and os.path.isdir(folder) and not os.listdir(folder)


def _check(folder: str, uid: int) -> None:
    state = os.lstat(folder)
    if not stat.S_ISDIR(state.st_mode):
        raise NoData(f"{folder} is not a folder; move it away (a mount is fine, a link is not)")
    if state.st_uid != uid:
        raise OthersData(
            f"{folder} belongs to the user {state.st_uid}, and the app runs as {uid}",
            f"give it to that user (chown -R {uid} {folder}), or move it away",
        )
    if state.st_mode & _OF_OTHERS:
        os.chmod(folder, _PRIVATE)
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise NoData(f"{folder} is on a read-only file system; mount that for writing")
