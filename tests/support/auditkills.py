"""A runtime that imports this first ends no change: its audit trail stays as if the process had
been killed when the change was done.

What a killed process would have left of state.db at that moment is copied to a folder beside it,
named after the change's action; then a line on stdout tells of it.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from buntime.server.admin.audit import Begun


def _leave(self: Begun, *_: object, **__: object) -> None:
    if self.is_over:
        return
    self.is_over = True
    action = self._change.action
    state = Path(os.environ["RUNTIME_STATE_DIR"])
    copies = state.parent / "left" / action
    copies.mkdir(parents=True)
    for path in state.glob("state.db*"):
        shutil.copy(path, copies)
    os.write(1, json.dumps({"event": "left", "action": action}).encode() + b"\n")


_patched: Any = Begun
_patched.end = _leave
