"""What a backup is made of: which folders there are, and whose each one is."""

import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from buntime import __version__
from buntime.core.backup.form import Head, Section, is_data_name
from buntime.core.sandbox.kernel import Kernel
from buntime.core.values.tuples import NamedTuple
from buntime.server.backup.folderprocess import Folder
from buntime.server.pythons.identity import Identity, resolve
from buntime.server.state.datafolders import NAME as DATA
from buntime.server.state.datasize import size_of

SECRETS = "secrets"
PLUGINS_FILE = "plugins.json"
OPTIONS_FILE = "plugin-options.json"


class Source(NamedTuple):
    """Where everything is. `copy_state` copies state.db to a path; False if there is none."""

    state_dir: str
    app_dirs: Sequence[str]
    plugin_dirs: Sequence[str]
    kernel: Kernel
    copy_state: Callable[[str], bool]
    has_secrets: bool = False
    only: frozenset[str] = frozenset()  # kinds of sections; empty: all


def head_of(source: Source) -> Head:
    """What the archive says about itself. Raises OSError."""
    return Head(
        version=__version__,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        apps=tuple(source.app_dirs) if _wants(source, "apps") else (),
        plugins=tuple(source.plugin_dirs) if _wants(source, "plugins") else (),
        data={name: user_of(uid) for name, uid in _data(source)} if _wants(source, "data") else {},
        has_secrets=source.has_secrets and _wants(source, "state"),
    )


def folders_of(source: Source, head: Head) -> Iterator[tuple[Section, Folder]]:
    """Each folder that is read by a process of its own."""
    for number, path in enumerate(head.apps):
        yield Section("apps", str(number)), Folder(os.path.realpath(path), has_links=True)
    for number, path in enumerate(head.plugins):
        yield Section("plugins", str(number)), Folder(os.path.realpath(path), has_links=True)
    for name, user in head.data.items():
        path = os.path.join(os.path.realpath(source.state_dir), DATA, name)
        yield Section("data", name), Folder(path, identity_of(user))


def _wants(source: Source, kind: str) -> bool:
    return not source.only or kind in source.only


def _data(source: Source) -> Iterator[tuple[str, int]]:
    root = os.path.join(source.state_dir, DATA)
    if not os.path.isdir(root):
        return
    for name in sorted(os.listdir(root)):
        try:
            status = os.lstat(os.path.join(root, name))
        except FileNotFoundError:
            continue  # it was removed with its app
        if is_data_name(name) and stat.S_ISDIR(status.st_mode):
            yield name, status.st_uid


def user_of(uid: int) -> str | None:
    """The name by which another machine knows the user; None for the runtime's own user."""
    if uid == os.geteuid():
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{uid}:{uid}"


def identity_of(user: str | None) -> Identity | None:
    """The user of a folder, if this process may become another user. Raises KeyError."""
    return resolve(user) if user is not None and os.geteuid() == 0 else None


def sizes_of(source: Source) -> list[dict[str, Any]]:
    """For each data folder its user, and how many files and bytes it has. Raises OSError."""
    sizes = []
    for name, uid in _data(source):
        files, size, is_whole = size_of(os.path.join(source.state_dir, DATA, name))
        sizes.append(
            {
                "name": name,
                "user": user_of(uid),
                "files": files,
                "sizeBytes": size,
                "isWhole": is_whole,
            }
        )
    return sizes
