"""Finds out what this kernel can deny to workers."""

import os
import sys

from buntime.confine import NotConfined, c_function
from buntime.core.sandbox.kernel import Kernel

_CREATE_RULESET = 444  # alike on all machines
_TELL_VERSION = 1
_SECCOMP_ACTIONS = "/proc/sys/kernel/seccomp/actions_avail"


def find_kernel() -> Kernel:
    """The kernel that runs this; its ABI is 0 if a container or boot options disable it."""
    nothing = Kernel(0, os.uname().machine, has_seccomp=False)
    if sys.platform != "linux":
        return nothing
    try:
        syscall = c_function("syscall")
    except NotConfined:  # a Python that was built without libffi
        return nothing
    abi = syscall(_CREATE_RULESET, None, 0, _TELL_VERSION)
    return Kernel(max(0, abi), os.uname().machine, _has_filters())


def _has_filters() -> bool:
    try:
        with open(_SECCOMP_ACTIONS, "rb") as file:
            return {b"errno", b"kill_process", b"allow"} <= set(file.read().split())
    except OSError:
        return False
