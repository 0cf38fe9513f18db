"""Gives up rights of this thread and of everything it starts: Landlock, seccomp, capabilities.

They cannot be regained. The runtime decides which ones, see core/sandbox/order.py. They are given
up by

- a worker, at INIT: after it has become its user and before it runs any code of the app, while it
  has only one thread, because other threads would keep their rights. As a spare it has already
  done what is the same for all apps: installed the filter of system calls, and made a ruleset that
  is not in force yet;
- a thread of the runtime, which then starts one program and ends. Rights belong to a thread, and
  the program inherits them at its exec.

The standard library has no functions for these system calls, so `_ctypes` makes them: loading it
takes 1.1 million instructions, all of `ctypes` 16 million. Numbers are passed as C's int, bytes as
their address. The runtime has no other way to some functions of the C library either: see
`c_function`.
"""

from __future__ import annotations

import posix  # for `os`, see worker/main.py
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from buntime.wire import Message

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_PATH_BENEATH, _NET_PORT = 1, 2
_BIND_TCP = 1
_SET_DUMPABLE = 4
_SET_SECCOMP, _DROP_BOUNDING, _SET_NO_NEW_PRIVS = 22, 24, 38
_BY_FILTER = 2
_INSTRUCTION_BYTES = 8
_CAPABILITY_VERSION = 0x20080522
_OWN_STATUS = "/proc/thread-self/status"
_PATH_ONLY = getattr(posix, "O_PATH", 0) | posix.O_NOFOLLOW | posix.O_CLOEXEC  # macOS has no O_PATH

# From <errno.h>, the same on every architecture: this machine lacks memory or descriptors.
_ENOMEM, _EINVAL, _ENFILE, _EMFILE = 12, 22, 23, 24
_SHORTAGES = (_ENOMEM, _ENFILE, _EMFILE)

_ctypes: Any  # _get_ready sets this and the names below
_function: Any
_text: Any = None  # set last
_library: Any
_syscall: Callable[..., int]
_prctl: Callable[..., int]


class NotConfined(Exception):
    """The rights cannot be given up. The message says why, and what to do."""

    errno = 0  # of the system call that failed, if one did


def shed(order: Message) -> None:
    """Keep certain capabilities from all programs that are started from now on.

    A worker does it before it becomes its user, who may not. Raises NotConfined like `restrict`.
    """
    _get_ready()
    for capability in order["capabilities"]:
        _prctl(_DROP_BOUNDING, capability, 0, 0, 0)  # fails for those that the kernel lacks


def prepare(order: Message) -> int:
    """Do what PREPARE says; returns the descriptor of its ruleset, which is not in force yet.

    Raises NotConfined if that fails; then nothing has changed.
    """
    _get_ready()
    rules = _make_rules(order)
    try:
        _filter_calls(order["filter"])
    except NotConfined:
        posix.close(rules)
        raise
    return rules


def restrict(order: Message, prepared: int | None = None) -> None:
    """Give up every right that the app must not have. Raises NotConfined if that fails.

    `prepared` is the descriptor that `prepare` returned; it is closed.
    """
    if order["own"] and posix.geteuid() == 0:
        _drop_own(order["own"])
    is_begun = prepared is not None and order["is_begun"]
    if prepared is not None and not is_begun:
        posix.close(prepared)
    rules = _make_rules(order, prepared if is_begun else None)
    try:
        _renounce()
        _checked(_syscall(_RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        posix.close(rules)
    _filter_calls(order["filter"])


def close_process() -> None:
    """Have the kernel close this process to others of its user, and write no core dump of it.

    A process that changes to another user is closed anyway; an exec opens it. Raises NotConfined.
    """
    _get_ready()
    _checked(_prctl(_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")


def _get_ready() -> None:
    """Load what the sandbox needs, once."""
    global _ctypes, _syscall, _prctl, _function, _text, _library  # noqa: PLW0603  # once
    if _text is not None:
        return
    try:
        import _ctypes  # here, because not every worker has a sandbox
    except ImportError as exc:
        raise NotConfined(
            f"the sandbox needs _ctypes, which {sys.executable} cannot load ({exc}); if it was "
            "built without libffi, use another Python, or write `sandbox: off`"
        ) from exc
    except OSError as exc:
        raise _failed(exc.errno, "_ctypes") from exc
    flags = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO
    _function = type("function", (_ctypes.CFuncPtr,), {"_flags_": flags})  # returns C's int
    _library = _ctypes.dlopen(None, 0)
    _syscall, _prctl = _load("syscall"), _load("prctl")
    _text = type("text", (_ctypes._SimpleCData,), {"_type_": "z"})


def _make_rules(order: Message, rules: int | None = None) -> int:
    """Add the rules to a ruleset or a new one; returns its descriptor. Closes it on failure."""
    if rules is None:
        attributes = bytes.fromhex(order["ruleset"])
        rules = _checked(_syscall(_CREATE_RULESET, attributes, len(attributes), 0), "Landlock")
    try:
        for access, paths in order["rules"]:
            _allow(rules, access, paths, order["files"])
        for port in order["ports"]:
            rule = _words(_BIND_TCP, port)
            _checked(_syscall(_ADD_RULE, rules, _NET_PORT, rule, 0), "a port's rule")
    except NotConfined:
        posix.close(rules)
        raise
    return rules


def _allow(rules: int, access: int, paths: list[str], of_files: int) -> None:
    """Add a rule for the file or folder at each path.

    Links get none, nor do paths that cannot be opened: nothing is there, the user may not go there,
    or the disk has gone. Raises NotConfined if descriptors or memory have run out, because then the
    app would lack a right.
    """
    allowed = access.to_bytes(8, sys.byteorder)
    # Looked up once: there may be hundreds of paths.
    call, opened, close, flags = _syscall, posix.open, posix.close, _PATH_ONLY
    for path in paths:
        try:
            beneath = opened(path, flags)
        except OSError as exc:
            if exc.errno in _SHORTAGES:
                raise _failed(exc.errno, path) from exc
            continue
        rule = allowed + beneath.to_bytes(4, sys.byteorder)
        try:
            if call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0):
                if _ctypes.get_errno() == _EINVAL:  # not a folder
                    rule = (access & of_files).to_bytes(8, sys.byteorder) + rule[8:]
                _checked(call(_ADD_RULE, rules, _PATH_BENEATH, rule, 0), path)
        finally:
            close(beneath)


def _renounce() -> None:
    """Let no program that is started gain rights; without that the kernel allows no sandbox."""
    _checked(_prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _filter_calls(encoded: str) -> None:
    """Have the kernel run this filter at each system call from now on; none if it is empty."""
    if not encoded:
        return
    _renounce()
    program = bytes.fromhex(encoded)
    held = _text(program)
    address = int.from_bytes(bytes(memoryview(held).cast("B")), sys.byteorder)
    described = _words(len(program) // _INSTRUCTION_BYTES, address)
    _checked(_prctl(_SET_SECCOMP, _BY_FILTER, described, 0, 0), "seccomp")


def _drop_own(capabilities: list[int]) -> None:
    """Take capabilities from this thread, which runs as root."""
    try:
        status = posix.open(_OWN_STATUS, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError as exc:
        raise _failed(exc.errno, _OWN_STATUS) from exc
    _, _, found = posix.read(status, 4096).partition(b"CapPrm:")
    posix.close(status)
    kept = int(found.split()[0], 16) & ~sum([1 << capability for capability in capabilities])
    header = _CAPABILITY_VERSION.to_bytes(4, sys.byteorder) + bytes(4)
    words = [kept & 0xFFFFFFFF, kept >> 32]
    # The lower words of the sets effective, permitted and inheritable, then their higher words.
    sets = b"".join([word.to_bytes(4, sys.byteorder) * 2 + bytes(4) for word in words])
    _checked(_load("capset")(header, sets), "capset")


def c_function(name: str) -> Callable[..., int]:
    """The function of the C library: it returns C's int, and sets no errno that Python sees.

    Numbers are passed as C's int, bytes and None as an address. Raises NotConfined if this Python
    has no `_ctypes`.
    """
    _get_ready()
    return _load(name)


def _load(name: str) -> Callable[..., int]:
    return _function(_ctypes.dlsym(_library, name))  # type: ignore[no-any-return]  # see _get_ready


def _words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, sys.byteorder) for number in numbers)


def _checked(result: int, what: str) -> int:
    """Returns the result of a call. Raises NotConfined if it failed."""
    if result < 0:
        raise _failed(_ctypes.get_errno(), what)
    return result


def _failed(number: int | None, what: str) -> NotConfined:
    error = NotConfined(f"the sandbox cannot be made: {what}: {posix.strerror(number or 0)}")
    error.errno = number or 0
    return error
