"""Puts what a backup holds in its place: staged beside it, then renamed.

Nothing that exists is replaced, except the state when it is restored: the old one is moved aside.
Each folder that gets an entry is synced. So after a loss of power state.db, which comes last, is
there only with all that comes before it.
"""

import os
import time
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from buntime.core.backup.form import Head, Section
from buntime.core.sandbox.kernel import Kernel
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown
from buntime.server.backup.folderprocess import Failed, Folder
from buntime.server.backup.source import OPTIONS_FILE, PLUGINS_FILE, SECRETS, identity_of
from buntime.server.state.datafolders import NAME as DATA
from buntime.server.state.statefile import NAME as STATE_DB
from buntime.server.state.statefolder import STAGED, staged_in

_NAMED = 3  # of what is in a folder that is to be empty
# SQLite would take old files beside state.db for those of the new one.
_OF_STATE = (f"{STATE_DB}-wal", f"{STATE_DB}-journal", f"{STATE_DB}-shm", STATE_DB)


class Target(NamedTuple):
    """Where to restore to: folders of apps and of plugins, in the order of the archive's."""

    state_dir: str
    app_dirs: Sequence[str]
    plugin_dirs: Sequence[str]
    kernel: Kernel
    only: frozenset[str] = frozenset()

    def wants(self, section: Section) -> bool:
        return not self.only or section.kind in self.only


class Planned(NamedTuple):
    """A folder to restore: `stage` becomes `place`, or what is in it moves into `place`."""

    place: str
    stage: str
    folder: Folder

    @property
    def is_whole(self) -> bool:
        return not self.folder.has_links


def plan_of(head: Head, target: Target) -> Mapping[Section, Planned]:
    """Where each wanted section of a backup goes."""
    plan: dict[Section, Planned] = {}
    for section in head.sections:
        if section.kind == "state" or not target.wants(section):
            continue
        if section.kind == "data":
            place = os.path.join(os.path.realpath(target.state_dir), DATA, section.name)
            user = _identity_of(section.name, head.data[section.name])
            stage = os.path.join(os.path.dirname(place), f"{STAGED}{section.name}")
            plan[section] = Planned(place, stage, Folder(stage, user))
        else:
            dirs = target.app_dirs if section.kind == "apps" else target.plugin_dirs
            if int(section.name) >= len(dirs):
                names = head.apps if section.kind == "apps" else head.plugins
                raise Failed(
                    f"the backup has {len(names)} folders of {section.kind}: {', '.join(names)}; "
                    f"name as many (--{'dir' if section.kind == 'apps' else 'plugin-dirs'} A:B)"
                )
            place = os.path.realpath(dirs[int(section.name)])
            stage = os.path.join(place, f"{STAGED}{os.getpid()}")
            plan[section] = Planned(place, stage, Folder(stage, has_links=True))
    return plan


def _identity_of(name: str, user: str | None) -> Any:
    try:
        return identity_of(user)
    except KeyError:
        raise Failed(
            f"the data of {name} belongs to the user {user}, who does not exist on this machine; "
            f"create that user first (useradd --system {user})"
        ) from None


def refuse_what_is_there(plan: Mapping[Section, Planned], target: Target) -> None:
    """Raises Failed if something is in the way of what would be restored."""
    folders = {target.state_dir, *(os.path.dirname(each.stage) for each in plan.values())}
    left = [path for folder in sorted(folders) for path in staged_in(folder)]
    if left:
        placed = _in_the_way(plan, target)
        more = (
            f"; then move away what it had put in its place: {' '.join(placed)}" if placed else ""
        )
        raise Failed(
            "a restore that was killed has left what it had unpacked; once no other restore runs: "
            f"rm -r {' '.join(map(quote, left))}{more}"
        )
    for folder in plan.values():
        if folder.is_whole and os.path.lexists(folder.place):
            raise Failed(f"{folder.place} is there already; move it away first")
        if not folder.is_whole and os.path.isdir(folder.place) and os.listdir(folder.place):
            names = sorted(os.listdir(folder.place))
            more = ", …" if len(names) > _NAMED else ""
            raise Failed(
                f"{folder.place} is not empty: it has {', '.join(map(shown, names[:_NAMED]))}"
                f"{more}; name an empty folder"
            )
    for path in _of_state_there(target):
        raise Failed(
            f"{path} is there already; name an empty state folder, or restore --only state"
        )


def _in_the_way(plan: Mapping[Section, Planned], target: Target) -> list[str]:
    """What must go before a restore after one that was killed, quoted; without what is staged."""
    paths = []
    for folder in plan.values():
        if folder.is_whole:
            paths += [folder.place] * os.path.lexists(folder.place)
        elif os.path.isdir(folder.place):
            names = sorted(os.listdir(folder.place))
            paths += [os.path.join(folder.place, name) for name in names]
    paths += _of_state_there(target)
    return [quote(path) for path in paths if not os.path.basename(path).startswith(STAGED)]


def _of_state_there(target: Target) -> list[str]:
    """Files of the state that are there, unless it is alone to be restored."""
    names = () if target.only else (STATE_DB, PLUGINS_FILE, OPTIONS_FILE, SECRETS)
    paths = (os.path.join(target.state_dir, name) for name in names)
    return [path for path in paths if os.path.lexists(path)]


def make_stage(folder: Planned) -> None:
    """Make the folder that a section is unpacked into before it is moved to its place."""
    parent = os.path.dirname(folder.stage)
    _make(parent)
    if folder.is_whole:
        os.chmod(parent, 0o711)  # whatever the umask: the users of apps pass through it
    os.mkdir(folder.stage, 0o700)
    if folder.folder.user is not None:
        user = folder.folder.user
        os.chown(folder.stage, user.uid, user.gid, follow_symlinks=False)


def place(folder: Planned) -> list[str]:
    """Move what was unpacked to its place; returns the paths that are there now."""
    if folder.is_whole:
        os.rename(folder.stage, folder.place)
        _sync(os.path.dirname(folder.place))
        return [folder.place]
    placed = []
    for name in sorted(os.listdir(folder.stage)):
        path = os.path.join(folder.place, name)
        os.rename(os.path.join(folder.stage, name), path)
        placed.append(path)
    _sync(folder.place)
    return placed


def place_state(stage: str, target: Target) -> list[str]:
    """Put the state in its place, the database last; old files are renamed, with the time."""
    for inner, _, _ in os.walk(stage):
        _sync(inner)
    now = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    names = sorted(os.listdir(stage), key=lambda name: name == STATE_DB)
    placed = []
    for name in names:
        for old in _OF_STATE if name == STATE_DB else (name,):
            path = os.path.join(target.state_dir, old)
            if os.path.lexists(path):
                os.rename(path, f"{path}.before-{now}")
        path = os.path.join(target.state_dir, name)
        os.rename(os.path.join(stage, name), path)
        placed.append(path)
    _sync(target.state_dir)
    return placed


def _make(folder: str) -> None:
    """Make a folder and what is missing above it; all are synced."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make(parent)
    os.mkdir(folder)
    _sync(parent)


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
