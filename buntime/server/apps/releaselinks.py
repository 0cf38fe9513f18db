"""What links and releases say about an app's versions: which is active, which ranges skip.

shop/latest -> 1.2.0          version 1.2.0 is active: `latest` is an alias of it
shop@latest -> shop@1.2.0     the same, if the folder shop is an app itself
shop/latest -> /srv/shop      not a version beside it: a version of its own, "latest"

.releases/shop/withheld       versions, one per line, that were never active or were rolled back
                              from; see docs/deploys.md
"""

import os
from collections.abc import Iterable
from pathlib import Path

from buntime.core.apps.app import RELEASES
from buntime.core.apps.versions import LATEST, is_version
from buntime.core.deploys.names import WITHHELD, folder_of_app
from buntime.server.apps.labels import split_label
from buntime.server.defence.regularfile import read_regular

_SIZE_MAX_BYTES = 1 << 18  # room for more versions than anybody keeps

_State = tuple[int, int, int]  # inode, modification time, size


def alias_of(path: Path) -> str | None:
    """The version beside it that the link `path`, "shop/latest", leads to; None if to none."""
    try:
        target = os.readlink(path)
    except OSError:
        return None
    folder, label = os.path.split(os.path.normpath(path.parent / target))
    if folder != str(path.parent) and os.path.realpath(folder) != os.path.realpath(path.parent):
        return None
    version: str | None = label
    if path.name != LATEST:
        name, version = split_label(label)
        if path.name != f"{name}@{LATEST}":
            return None
    return version if version and version != LATEST and is_version(version) else None


class Withheld:
    """Which versions ranges skip, by a file in the worker folder; read again when it changes."""

    def __init__(self) -> None:
        self._read: dict[tuple[Path, str], tuple[_State, frozenset[str]]] = {}

    def of_all(self, roots: Iterable[Path], name: str) -> frozenset[str]:
        """The withheld versions of the app `name`, in all of the worker folders."""
        return frozenset().union(*(self.of(root, name) for root in roots))

    def of(self, root: Path, name: str) -> frozenset[str]:
        """The withheld versions of the app `name`, in the worker folder `root`."""
        path = f"{root}/{RELEASES}/{folder_of_app(name)}/{WITHHELD}"
        try:
            found = os.stat(path)
            state = found.st_ino, found.st_mtime_ns, found.st_size
            known = self._read.get((root, name))
            if known is None or known[0] != state:  # the file is replaced, never rewritten
                text, _ = read_regular(path, _SIZE_MAX_BYTES)
                known = state, frozenset(text.decode("utf-8", "replace").split())
                self._read[root, name] = known
        except OSError:
            self._read.pop((root, name), None)
            return frozenset()
        return known[1]
