"""What kind of file system a folder is on: SQLite's write-ahead log cannot be trusted on some.

A network file system may report a write as done before others see it, or have unreliable locks; a
FUSE file system behaves as its program does.
"""

import os
import re

from buntime.core.access.paths import is_within

_OF_NETWORKS = frozenset(
    "9p afs beegfs ceph cifs coda glusterfs lustre nfs nfs4 ocfs2 orangefs prl_fs smb3 smbfs "
    "vboxsf virtiofs".split()
)
_MOUNTS = "/proc/self/mountinfo"


def remote_kind(folder: str) -> str:
    """`"nfs4"`, if the folder is on such a file system; "" if not, or if unknown."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            mounts = file.read()
    except OSError:
        return ""
    kind = kind_of(os.path.realpath(folder), mounts)
    return kind if kind in _OF_NETWORKS or kind.startswith("fuse") else ""


def kind_of(folder: str, mounts: str) -> str:
    """The kind of the mount that covers the folder, from `mounts`, which is mountinfo of proc(5).

    `"/var/lib/x"`, `"22 1 0:9 / /var rw - ext4 /dev/vda rw"` -> `"ext4"`; the last mount of a place
    covers those before it.
    """
    found = deepest = ""
    for line in mounts.splitlines():
        fields, is_whole, more = line.partition(" - ")
        places = fields.split(" ")
        if not is_whole or len(places) < 5:
            continue
        place = _plain(places[4])
        if is_within(folder, place) and len(place) >= len(deepest):
            found, deepest = more.split(" ")[0], place
    return found


def _plain(place: str) -> str:
    """`r"/my\\040disk"` -> "/my disk"."""
    if "\\" not in place:
        return place
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)
