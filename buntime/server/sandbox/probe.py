"""Finds out what this kernel can deny to workers."""

import os
import sys

from buntime.core.sandbox.kernel import Kernel

try:
    import ctypes  # loaded by server/pool/orphans anyway
except ImportError:  # a Python that was built without libffi
    ctypes = None  # type: ignore[assignment]  # asked for before it is used

_CREATE_RULESET = 444  # alike on all machines
_TELL_VERSION = 1
_SECCOMP_ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


def find_kernel() -> Kernel:
    """The kernel that runs this; its ABI is 0 if a container or boot options disable it."""
    if sys.platform != "linux" or ctypes is None:
        return Kernel(0, os.uname().machine, has_seccomp=False)
    abi = ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _TELL_VERSION)
    return Kernel(max(0, abi), os.uname().machine, _has_filters())


def _has_filters() -> bool:
    try:
        with open(_SECCOMP_ACTIONS, "rb") as file:
            return {b"errno", b"kill_process", b"allow"} <= set(file.read().split())
    except OSError:
        return False
