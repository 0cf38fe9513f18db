"""Starts programs that cannot see into others, as in a container, or as any user but root.

With these capabilities the kernel lets a process see into all others, and tests that are run by
root would not meet with what keeps an app of the same user out.
"""

from __future__ import annotations

import os
import sys

_DROP = """
import ctypes, os, sys
PR_CAPBSET_DROP = 24
CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON = 19, 21, 38
drop = ctypes.CDLL(None).prctl
drop(PR_CAPBSET_DROP, CAP_PERFMON, 0, 0, 0)  # since Linux 5.8
if any(drop(PR_CAPBSET_DROP, number, 0, 0, 0) for number in (CAP_SYS_PTRACE, CAP_SYS_ADMIN)):
    sys.exit("capabilities cannot be dropped")
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_sight(command: list[str]) -> list[str]:
    """The command that runs `command` so; its first word is a path."""
    return [sys.executable, "-c", _DROP, *command] if os.geteuid() == 0 else command
