"""What a kernel can deny a process that gives up rights: Landlock, by its ABI, and seccomp.

| ABI | Linux | brings |
|---|---|---|
| 1 | 5.13 | access to files; nothing can be moved to another folder |
| 2 | 5.19 | moves between folders, where both are allowed |
| 3 | 6.2  | truncating by path, which ABI 1 and 2 let pass |
| 4 | 6.7  | binding of TCP ports |
| 5 | 6.10 | ioctl on devices |
| 6 | 6.12 | signals to processes outside, abstract unix sockets of processes outside |
| 7 | 6.15 | audit records that can be turned off |

The numbers come from linux/landlock.h.
"""

import sys

from buntime.core.values.tuples import NamedTuple

LEAST_ABI = 3  # before this, a file that cannot be written can still be emptied
_NETWORK_ABI = 4
_DEVICES_ABI = 5
_SCOPES_ABI = 6


class Access:
    """What a rule allows below a path, as the kernel's bits; rules combine them."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Access.READ_FILE | Access.READ_DIR
RUN = READ | Access.EXECUTE
# No device files: root could create the disk's, and read all of it.
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SOCK
    | Access.MAKE_FIFO
    | Access.MAKE_SYM
    | Access.REFER
)
# For a device: read, write, and query it, as programs ask a terminal for its size.
USE = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV
# A rule for a path that is not a folder may contain only these.
OF_FILES = USE | Access.EXECUTE

_BIND_TCP = 1 << 0
_SCOPE_ABSTRACT_SOCKET = 1 << 0
_SCOPE_SIGNAL = 1 << 1


class Kernel(NamedTuple):
    """What this machine offers. An `abi` of 0 means no Landlock; `machine` is as in uname."""

    abi: int
    machine: str = "x86_64"
    has_seccomp: bool = True

    @property
    def is_fit(self) -> bool:
        """Whether apps can run in a sandbox at all."""
        return self.abi >= LEAST_ABI


def handled(kernel: Kernel) -> int:
    """The kinds of access that are denied wherever no rule allows them."""
    newest = Access.IOCTL_DEV if kernel.abi >= _DEVICES_ABI else Access.TRUNCATE
    return (newest << 1) - 1


def ruleset(kernel: Kernel, *, is_strict: bool) -> bytes:
    """`struct landlock_ruleset_attr`, in the length that the kernel knows."""
    words: list[int] = [handled(kernel)]
    if kernel.abi >= _NETWORK_ABI:
        words.append(_BIND_TCP)
    if kernel.abi >= _SCOPES_ABI:
        words.append(_SCOPE_SIGNAL | (_SCOPE_ABSTRACT_SOCKET if is_strict else 0))
    return b"".join(word.to_bytes(8, sys.byteorder) for word in words)


def binds_are_ruled(kernel: Kernel) -> bool:
    """Whether a TCP port can only be bound where a rule names it."""
    return kernel.abi >= _NETWORK_ABI


def acts(kernel: Kernel, *, filters: bool) -> tuple[str, ...]:
    """What the sandbox does on this kernel, for people: docs/security.md explains each word."""
    if not kernel.is_fit:
        return ()
    found = ["files", "processes"]  # any Landlock ruleset protects others' memory and environ
    if kernel.abi >= _NETWORK_ABI:
        found.append("ports")
    if kernel.abi >= _DEVICES_ABI:
        found.append("devices")
    if kernel.abi >= _SCOPES_ABI:
        found.append("signals")
    if filters:
        found.append("system calls")
    return tuple(found)
