"""Gives up rights, for good and for all that this thread starts: Landlock, seccomp, capabilities.

What is given up, the runtime decides, see core/sandbox/order.py. Who gives up:

- a worker, at INIT: when it has become its user and before any code of the app, while its thread is
  the only one, as others would keep the rights that they have. A spare has loaded what that takes;
- a thread of the runtime, which then starts one program and ends: the rights are a thread's, and
  what it starts gets them with its exec.

The standard library has no such calls, so they are made by `_ctypes`: loading it takes 1.1 million
instructions, where all of `ctypes` takes 16. Numbers go as C's int, bytes as their address.
"""

from __future__ import annotations

import posix  # for `os`, see worker/main.py
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from buntime.wire import Message

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # alike on all machines
_PATH_BENEATH, _NET_PORT = 1, 2
_BIND_TCP = 1
_SET_SECCOMP, _DROP_BOUNDING, _SET_NO_NEW_PRIVS = 22, 24, 38
_BY_FILTER = 2
_INSTRUCTION_BYTES = 8
_CAPABILITY_VERSION = 0x20080522
_PATH_ONLY = getattr(posix, "O_PATH", 0) | posix.O_NOFOLLOW | posix.O_CLOEXEC  # no macOS has it

_ctypes: Any = None  # and what is made of it by get_ready
_function: Any
_library: Any
_syscall: Callable[..., int]
_prctl: Callable[..., int]


class NotConfined(Exception):
    """The rights cannot be given up; says why, and what to do."""

    errno = 0  # of the call that failed, where it was one


def get_ready() -> None:
    """Load what the sandbox takes."""
    global _ctypes, _syscall, _prctl, _function, _library  # noqa: PLW0603  # once in its life
    try:
        import _ctypes  # not every worker is to have a sandbox
    except ImportError:  # a Python that was built without libffi; `shed` tells it
        return
    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _function = type("function", (_ctypes.CFuncPtr,), {"_flags_": flags})  # gives C's int
    _library = _ctypes.dlopen(None, 0)
    _syscall, _prctl = _load("syscall"), _load("prctl")


def shed(order: Message) -> None:
    """Have no program that is started from now on get certain capabilities.

    Before a worker becomes its user, who may not do it. Raises NotConfined like `restrict`.
    """
    if _ctypes is None:
        get_ready()
    if _ctypes is None:
        raise NotConfined(
            f"the sandbox needs Python's _ctypes, and {sys.executable} was built without it (and "
            "without libffi); take another Python, or write `sandbox: off`"
        )
    for capability in order["capabilities"]:
        _prctl(_DROP_BOUNDING, capability, 0, 0, 0)  # fails for those that the kernel lacks


def restrict(order: Message) -> None:
    """Give up all that an app is not to have. Raises NotConfined where that fails."""
    if order["own"] and posix.geteuid() == 0:
        _drop_own(order["own"])
    attributes = bytes.fromhex(order["ruleset"])
    rules = _checked(_syscall(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    for access, paths in order["rules"]:
        _allow(rules, access, paths, order["files"])
    for port in order["ports"]:
        rule = _words(_BIND_TCP, port)
        _checked(_syscall(_ADD_RULE, rules, _NET_PORT, rule, 0), "a port's rule")
    _checked(_prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(_syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    posix.close(rules)
    if order["filter"]:
        _filter_calls(bytes.fromhex(order["filter"]))


def _allow(rules: int, access: int, paths: list[str], of_files: int) -> None:
    """Add a rule for what there is at each path now; nothing where there is nothing, or a link."""
    allowed = access.to_bytes(8, sys.byteorder)
    # Looked up once, as there may be hundreds of paths.
    call, opened, close, flags = _syscall, posix.open, posix.close, _PATH_ONLY
    for path in paths:
        try:
            beneath = opened(path, flags)
        except OSError:
            continue
        rule = allowed + beneath.to_bytes(4, sys.byteorder)
        if call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0):
            # It may be no folder.
            rule = (access & of_files).to_bytes(8, sys.byteorder) + rule[8:]
            _checked(call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0), path)
        close(beneath)


def _filter_calls(program: bytes) -> None:
    text = type("text", (_ctypes._SimpleCData,), {"_type_": "z"})
    held = text(program)
    address = int.from_bytes(bytes(memoryview(held).cast("B")), sys.byteorder)
    described = _words(len(program) // _INSTRUCTION_BYTES, address)
    _checked(_prctl(_SET_SECCOMP, _BY_FILTER, described, 0, 0), "seccomp")


def _drop_own(capabilities: list[int]) -> None:
    """Take capabilities from this thread, which is root's."""
    status = posix.open("/proc/thread-self/status", posix.O_RDONLY | posix.O_CLOEXEC)
    _, _, found = posix.read(status, 4096).partition(b"CapPrm:")
    posix.close(status)
    kept = int(found.split()[0], 16) & ~sum([1 << capability for capability in capabilities])
    header = _CAPABILITY_VERSION.to_bytes(4, sys.byteorder) + bytes(4)
    words = [kept & 0xFFFFFFFF, kept >> 32]
    # Effective, permitted, inheritable: of each set the lower word, then of each the higher one.
    sets = b"".join([word.to_bytes(4, sys.byteorder) * 2 + bytes(4) for word in words])
    _checked(_load("capset")(header, sets), "capset")


def _load(name: str) -> Callable[..., int]:
    return _function(_ctypes.dlsym(_library, name))  # type: ignore[no-any-return]  # made above


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)


def _checked(result: int, what: str) -> int:
    """A call's result. Raises NotConfined where it failed."""
    if result < 0:
        number = _ctypes.get_errno()
        failed = NotConfined(f"the sandbox cannot be made: {what}: {posix.strerror(number)}")
        failed.errno = number
        raise failed
    return result
