"""What a service manager passes to a program in its environment: systemd's protocols, the journal.

NOTIFY_SOCKET   where to report one's state              sd_notify(3) WATCHDOG_*      how often to
report that one is alive    sd_watchdog_enabled(3) LISTEN_*        descriptors 3, 4, ... already
listen     sd_listen_fds(3) JOURNAL_STREAM  the journal reads the stream with this device and inode
systemd.exec(5)

All of it is only for this process, so it is removed from the environment.
"""

import re
from collections.abc import Iterable, Mapping, MutableMapping

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple

FIRST_DESCRIPTOR = 3
VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
)

_DESCRIPTORS_MAX = 1000  # more cannot be a sensible configuration
_JOURNAL_STREAM = regex(r"([0-9]+):([0-9]+)")


class Supervision(NamedTuple):
    """What the environment says. `sockets` are the names of descriptors from FIRST_DESCRIPTOR
    on."""

    notify: str | None = None  # "/run/systemd/notify", "@abstract"
    watchdog_s: float | None = None  # silence for this long counts as death
    sockets: tuple[str, ...] = ()
    journal: tuple[int, int] | None = None  # device and inode


def take_supervision(environ: MutableMapping[str, str], *, pid: int, parent: int) -> Supervision:
    """Read the variables for the process `pid`, and remove them from `environ`.

    The watchdog may be meant for the parent: for the binary that is its bootloader.
    """
    variables = {name: environ.pop(name) for name in VARIABLES if name in environ}
    return Supervision(
        notify=_socket(variables.get("NOTIFY_SOCKET", "")),
        watchdog_s=_watchdog_s(variables, (pid, parent)),
        sockets=_sockets(variables, pid),
        journal=_journal(variables.get("JOURNAL_STREAM", "")),
    )


def message(lines: Iterable[tuple[str, object]]) -> bytes:
    """A message for NOTIFY_SOCKET: `[("READY", 1), ("STATUS", "ok")]` -> `b"READY=1\\nSTATUS=ok"`.

    A value must be one line; a second one would be read as an assignment.
    """
    texts = [f"{name}={' '.join(str(value).splitlines())}" for name, value in lines]
    return "\n".join(texts).encode("utf-8", "replace")


def _socket(text: str) -> str | None:
    return text if text.startswith(("/", "@")) and len(text) > 1 else None


def _watchdog_s(variables: Mapping[str, str], pids: tuple[int, ...]) -> float | None:
    wanted = _number(variables.get("WATCHDOG_USEC", ""))
    meant = variables.get("WATCHDOG_PID", "")
    if not wanted or (meant and _number(meant) not in pids):
        return None
    return wanted / 1e6


def _sockets(variables: Mapping[str, str], pid: int) -> tuple[str, ...]:
    """One name for each descriptor; "unknown" if none is given, as in libsystemd."""
    if _number(variables.get("LISTEN_PID", "")) != pid:
        return ()
    number = min(_number(variables.get("LISTEN_FDS", "")) or 0, _DESCRIPTORS_MAX)
    names = variables.get("LISTEN_FDNAMES", "").split(":")
    return tuple((names[n] if n < len(names) else "") or "unknown" for n in range(number))


def _journal(text: str) -> tuple[int, int] | None:
    match = _JOURNAL_STREAM.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
