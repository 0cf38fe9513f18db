"""Changes made by commands while no runtime holds the state folder, before they enter the audit
trail.

    STATE/audit.spool      0600, of the folder's owner; a line of JSON each
      {"id": "3f2a81c0", "begun": "", "change": {"at_s": 1790000000.0, "actor": "ann", ...}}

A command writes a line before it changes something, and one afterwards, which names the first. The
next runtime appends all of them to the trail, then removes the file. So a command need not open
state.db, which may be damaged, or belong to another user. The writer holds the folder.
"""

import contextlib
import errno
import json
import os
import stat
from typing import Any

from buntime.core.admin.audittrail import Change, kept_value
from buntime.server.defence.regularfile import read_regular

NAME = "audit.spool"
MAX_BYTES = 4 << 20  # some thousand changes without a start of a runtime
Line = tuple[str, Change, str]  # its id, the change, and the id of its beginning


class AuditSpool:
    """The spool of a state folder. All methods may wait for a disk."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.path = os.path.join(folder, NAME)

    def __repr__(self) -> str:
        return f"AuditSpool({self.path})"

    def put(self, change: Change, begun: str = "") -> str:
        """Keep a change; `begun` is the id of its beginning. Returns its id. Raises OSError."""
        fields = change._asdict()
        fields |= {name: kept_value(fields[name]) for name in ("before", "after")}
        number = os.urandom(8).hex()
        line = json.dumps({"id": number, "begun": begun, "change": fields}).encode("ascii") + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(self.path, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "is not a file; move it away", self.path)
            size = os.fstat(file).st_size
            if size + len(line) > MAX_BYTES:
                raise OSError(
                    errno.EFBIG, "is full; start the runtime, which empties it", self.path
                )
            # A line cut short by a full disk or a kill is completed here.
            is_cut = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, b"\n" + line if is_cut else line)
            os.fsync(file)
            if os.geteuid() == 0:  # the runtime may be another user's
                owner = os.lstat(self._folder)
                os.fchown(file, owner.st_uid, owner.st_gid)
        finally:
            os.close(file)
        return number

    def read(self) -> tuple[list[Line], int]:
        """The lines, and how many cannot be read. Raises OSError."""
        try:
            data, _ = read_regular(self.path, MAX_BYTES)
        except FileNotFoundError:
            return [], 0
        lines, faults = list[Line](), 0
        for text in data.split(b"\n"):
            if text:
                try:
                    lines.append(_line(json.loads(text)))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                    faults += 1
        return lines, faults

    def remove(self, *, is_whole: bool = True) -> None:
        """Its content is in the trail: remove it, or put it aside if some lines are unreadable.
        Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            if is_whole:
                os.unlink(self.path)
            else:
                os.replace(self.path, f"{self.path}.unread")


def _line(entry: dict[str, Any]) -> Line:
    change = Change(**entry["change"])
    texts = (change.actor, change.source, change.address, change.request, change.action)
    if not all(isinstance(each, str) for each in (*texts, change.subject, change.result)):
        raise ValueError("no change")
    return str(entry["id"]), change._replace(at_s=float(change.at_s)), str(entry["begun"])
