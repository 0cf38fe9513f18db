"""Records what a command changes by itself, if no runtime holds the state folder: the next runtime
puts it into the audit trail.
"""

import contextlib
import os
import pwd
import time
from collections.abc import Iterator

from buntime.core.admin.audittrail import BEGUN, DONE, Change
from buntime.core.errors import CommandError
from buntime.server.state.auditspool import AuditSpool
from buntime.server.state.statefolder import StateFolder

SOURCE = "command"


class Noted:
    """A change that is recorded as begun; `after` is its result, once known."""

    def __init__(self, after: object = None) -> None:
        self.after = after


@contextlib.contextmanager
def noted(
    folder: StateFolder,
    action: str,
    subject: str,
    *,
    app: str | None = None,
    before: object = None,
    after: object = None,
) -> Iterator[Noted]:
    """Write a line before the body and one after it, even if it raises. Raises OSError.

    `folder` is held. `before` and `after` are JSON, without values of secrets.
    """
    spool, noted = AuditSpool(folder.path), Noted(after)
    change = Change(
        *(time.time(), _who(), SOURCE, "", "", action, subject, app, before, after, BEGUN)
    )
    number = spool.put(change)
    result = "failed"
    try:
        yield noted
        result = DONE
    except CommandError as exc:
        result = exc.code
        raise
    finally:
        end = change._replace(at_s=time.time(), after=noted.after, result=result)
        with contextlib.suppress(OSError):  # the beginning is recorded; it ends as unknown
            spool.put(end, number)


def _who() -> str:
    """The user who runs the command; with sudo, the user who typed it."""
    name = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
