"""Takes the secrets out of INIT, so that nothing else keeps them.

Loaded for apps that have some. They come through the channel, so /proc/PID/environ, which shows the
environment that a process was started with, has none. From here on the process is closed to others
of its user (PR_SET_DUMPABLE), like the runtime: they can neither read its memory nor trace it, and
the kernel writes no core dump, even if `core_pattern` is a program, which a limit of 0 does not
stop. An exec undoes that, so programs that an app starts are like any others.
"""

from __future__ import annotations

import sys

from buntime import confine
from buntime.sdk.granted import keep
from buntime.worker.report import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.wire import Message


def take_secrets(init: Message) -> dict[str, str]:
    """Take them out of INIT; returns those that belong in the environment."""
    granted = init.pop("secrets")
    if sys.platform == "linux":
        try:
            confine.close_process()
        except confine.NotConfined as exc:
            complain(f"buntime worker: other processes of this user can read its secrets: {exc}")
    keep(granted["values"])
    hidden = granted["hidden"]
    return {name: value for name, value in granted["values"].items() if name not in hidden}
