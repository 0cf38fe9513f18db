"""A runtime that imports this first is killed where a change is done and its end is not noted yet.

It says so on stdout before, by the action.
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
