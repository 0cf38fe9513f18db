"""The same as `ended`, for Pythons without `os.waitid`: by the C library."""

import ctypes
import os

# Their numbers are the same on Linux and macOS.
_P_PID = 1
_WEXITED = 4
# As macOS has it, where Python may not know the name.
_WNOWAIT = getattr(os, "WNOWAIT", 0x20)
_SIGINFO_BYTES = 128  # on Linux; 104 on macOS. It begins with the signal's number, as an int.

_libc = ctypes.CDLL(None, use_errno=True)


def has_ended(pid: int) -> bool:
    """Raises ChildProcessError for what is no child, or has been reaped."""
    info = ctypes.create_string_buffer(_SIGINFO_BYTES)
    if _libc.waitid(_P_PID, pid, info, _WEXITED | os.WNOHANG | _WNOWAIT):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return any(info.raw[: ctypes.sizeof(ctypes.c_int)])
