"""Imported by a forked runtime: a look at the folders of plugins that has read them waits while the
FIFO `gate` beside these folders has a writer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from buntime.server.plugins.look import Look, Looker

_GATE = Path(os.environ["RUNTIME_PLUGIN_DIRS"]).with_name("gate")
_again = Looker.again


def _held(looker: Looker, *given: Any) -> Look:
    look = _again(looker, *given)
    if _GATE.exists():
        _GATE.read_bytes()
    return look


_patched: Any = Looker
_patched.again = _held
