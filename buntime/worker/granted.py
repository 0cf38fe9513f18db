"""Takes the secrets of INIT, and has nothing else keep them.

Loaded for apps that have some. They come by the channel, so that /proc/PID/environ, which shows
the environment that a process was started with, has none. The process is closed to others of its
user from here on (PR_SET_DUMPABLE), as the runtime is: they can neither read its memory nor trace
it, and the kernel writes no dump of it, also where `core_pattern` is a program, which a limit of 0
does not stop. An exec undoes that, so the programs that an app starts are as any others.
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
