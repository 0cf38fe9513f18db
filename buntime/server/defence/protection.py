"""Keeps the runtime's secrets from its apps, whose workers may run as the same user.

The kernel shows the environment and the memory of a process to every process of the same user:
/proc/PID/environ, /proc/PID/mem, ptrace, process_vm_readv, pidfd_getfd. It does not if the process
is "not dumpable", see PR_SET_DUMPABLE in prctl(2); an exec undoes that, so workers are not
affected. Root sees all, unless it lacks CAP_SYS_PTRACE and CAP_PERFMON, as in most containers.

A secret is also wiped from the environment that the process was started with: that covers systems
without such a call, and programs that would inherit the secret.

Not covered are the time from the exec of the runtime to `close_process`, some 20 ms, and a program
that started the runtime and keeps the secret: exposures.py looks for those.
"""

import os
import sys
from collections.abc import Iterable

try:
    import ctypes  # 7 ms: nothing else gives prctl and `environ`
except ImportError:  # a Python built without libffi
    ctypes = None  # type: ignore[assignment]  # checked before it is used

_PR_GET_DUMPABLE = 3  # linux/prctl.h
_PR_SET_DUMPABLE = 4


def close_process() -> None:
    """Have the kernel keep other processes of this user out of this one, where it can."""
    if sys.platform == "linux" and ctypes is not None:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def is_closed() -> bool:
    """Whether the kernel keeps other processes of this user out of this one."""
    if sys.platform != "linux" or ctypes is None:
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)


def withdraw(names: Iterable[str]) -> dict[str, str]:
    """Empty the variables `names` of this process; returns the environment as it was.

    The names stay, as they show that a variable was set.
    """
    environ = dict(os.environ)
    for name in names:
        if name in environ:
            if ctypes is not None:
                _wipe(os.fsencode(name) + b"=")
            os.environ[name] = ""
    return environ


def _wipe(beginning: bytes) -> None:
    """Overwrite the value of each entry of C's environment with this prefix; there may be two."""
    try:
        entries = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    except ValueError:  # macOS has another name for it
        return
    index = 0
    while (entry := entries[index]) is not None:
        text = ctypes.string_at(entry)
        if text.startswith(beginning):
            ctypes.memset(entry + len(beginning), 0, len(text) - len(beginning))
        index += 1
