"""Kills a runtime that imports this first when a change is done but its end is not yet recorded.

Before that it prints the change's action on stdout.
"""

import os
import signal
from typing import Any

from buntime.server.admin.audit import Begun


def _die(self: Begun, *_: object, **__: object) -> None:
    os.write(1, f"killed at {self._change.action}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


_patched: Any = Begun
_patched.end = _die
