"""Runs any program for its output, in bounded time and space.

It may hang, write without end, or leave behind a child that holds its output. Everything that stays
in its process group is killed at the end.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from threading import Event

from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.ended import has_ended
from buntime.server.defence.ownthread import confined
from buntime.server.pythons.identity import Identity, options_of
from buntime.wire import Message

_POLL_S = 0.05
_END_POLL_S = 0.002  # a program that has closed its output ends soon
_OUTPUT_MAX_BYTES = 256 * 1024
_NEVER = Event()


class Said(NamedTuple):
    """What it wrote, to both streams, and how it ended; `is_late`: it had to be stopped."""

    text: str
    returncode: int
    is_late: bool


def ask(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout_s: float,
    user: Identity | None = None,
    sandbox: Message | None = None,
    cancelled: Event = _NEVER,
) -> Said:
    """Run `command` as `user` until it ends, time is up, it is `cancelled` or it writes too much.

    It runs in a `sandbox` if there is an order for one. Raises OSError, ValueError and NotConfined
    if it cannot be started.
    """
    process = confined(
        sandbox,
        lambda: subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd="/",
            start_new_session=True,
            **options_of(user),
        ),
    )
    deadline = time.monotonic() + timeout_s

    def has_time() -> bool:
        return time.monotonic() < deadline and not cancelled.is_set()

    output, is_over = b"", False
    with process, selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) < _OUTPUT_MAX_BYTES and has_time():
            is_over = has_ended(process.pid)  # before reading: then nothing more comes
            if selector.select(_POLL_S):
                piece = os.read(process.stdout.fileno(), _OUTPUT_MAX_BYTES - len(output))
                if not piece:
                    break
                output += piece
            elif is_over:
                break
        while len(output) < _OUTPUT_MAX_BYTES and has_time():
            is_over = has_ended(process.pid)
            if is_over:
                break
            time.sleep(_END_POLL_S)
        _kill(process)
    is_late = not is_over and len(output) < _OUTPUT_MAX_BYTES
    return Said(output.decode("utf-8", "replace"), process.returncode, is_late)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started: pyenv's python is a script that runs another."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for ended processes
        pass
