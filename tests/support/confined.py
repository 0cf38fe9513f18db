"""Starts programs with fewer rights than the tests have, which may run as root."""

from __future__ import annotations

import os
import re
import sys

from tests.support.harness import ROOT

# Numbers from linux/capability.h. These let a process look into all others, as root or not:
SIGHT = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}
KNOWN = SIGHT | {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
}
_LAST = 63

_DROP = """
import ctypes, os, sys
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
drop = ctypes.CDLL(None).prctl
for number in map(int, sys.argv[1].split(",")):
    drop(PR_CAPBSET_DROP, number, 0, 0, 0)  # fails for those that this kernel does not have
if drop(PR_CAPBSET_DROP, 21, 0, 0, 0):
    sys.exit("capabilities cannot be dropped")
drop(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


def without_sight(command: list[str]) -> list[str]:
    """The command that runs `command` as in a container, or as any user but root.

    With some capabilities the kernel lets a process see into all others, so a test would not meet
    what keeps out an app of the same user. The first word of `command` is a path.
    """
    return _without(set(SIGHT.values()), command)


def with_only(names: list[str], command: list[str]) -> list[str]:
    """The command that runs `command` as root with only these capabilities, given by name."""
    return _without(set(range(_LAST + 1)) - {KNOWN[name] for name in names}, command)


def drop_in() -> list[str]:
    """The capabilities of the systemd drop-in for `user` in the docs."""
    text = (ROOT / "docs/deployment.md").read_text("utf-8")
    [names] = re.findall(r"^CapabilityBoundingSet=(CAP_SETUID .*)$", text, re.MULTILINE)
    return names.split()


def _without(numbers: set[int], command: list[str]) -> list[str]:
    if os.geteuid() != 0:
        return command
    return [sys.executable, "-c", _DROP, ",".join(map(str, sorted(numbers))), *command]
