"""Keeps the runtime's secrets from its apps, whose workers may run as the same user.

The kernel shows the environment and the memory of a process to every process of its user:
/proc/PID/environ, /proc/PID/mem, ptrace, process_vm_readv, pidfd_getfd. It does not where the
process is "not dumpable", see PR_SET_DUMPABLE in prctl(2); an exec takes that back, so workers are
not affected. Root sees all, unless it lacks CAP_SYS_PTRACE and CAP_PERFMON, as in most containers.

A secret is also wiped from the environment that the process was started with: that covers systems
without such a call, and programs that would inherit it.

Not covered is the time from the exec of the runtime to `close_process`, some 20 ms, nor a program
that has started the runtime and keeps the secret: exposures.py looks for those.
"""

import os
import sys
from collections.abc import Iterable

try:
    import ctypes  # 7 ms: prctl and `environ` are to be had in no other way
except ImportError:  # a Python that was built without libffi
    ctypes = None  # type: ignore[assignment]  # asked for before it is used

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
    """The environment, in which the variables `names` have no value from now on.

    The names stay, and so does what they say: that a variable was set.
    """
    environ = dict(os.environ)
    for name in names:
        if name in environ:
            if ctypes is not None:
                _wipe(os.fsencode(name) + b"=")
            os.environ[name] = ""
    return environ


def _wipe(beginning: bytes) -> None:
    """Overwrite the value of each entry of C's environment that begins so; there may be two."""
    try:
        entries = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    except ValueError:  # macOS has it under another name
        return
    index = 0
    while (entry := entries[index]) is not None:
        text = ctypes.string_at(entry)
        if text.startswith(beginning):
            ctypes.memset(entry + len(beginning), 0, len(text) - len(beginning))
        index += 1
