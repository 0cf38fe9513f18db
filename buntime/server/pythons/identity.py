"""Acting as another user: with files, in a thread of this process, and in programs it starts.

If the runtime is root and an app has a `user`, root neither runs nor follows anything that the app,
or whoever deploys it, can write: not its interpreter, not what its packages run, not a link in its
folder.

On Linux a thread has its own credentials. `run_as` changes only those for files (setfsuid(2)), in a
thread that does one thing and ends. The others stay root's: otherwise the user could signal the
whole runtime through that thread. Programs that it starts need `options`, because exec restores
root's file credentials.
"""

import os
import pwd
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from buntime.confine import NotConfined, c_function
from buntime.core.values.tuples import NamedTuple
from buntime.server.defence.ownthread import in_own_thread

_T = TypeVar("_T")
# The numbers of setgroups(2) by machine, see asm/unistd.h: the C library's changes all threads.
_SETGROUPS = {"x86_64": 116, "aarch64": 159, "riscv64": 159, "s390x": 206, "ppc64le": 81}
_IS_64_BIT = sys.maxsize > 1 << 32
_UNCHANGED = -1
_ID_BYTES = 4
_ID_MAX = (1 << 32) - 1


class CannotBecome(Exception):
    """A user's credentials cannot be assumed; says why."""


class Identity(NamedTuple):
    """A user, as the kernel knows it. `name` is as it was written: "www-data", "1000:1000"."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    def options(self) -> dict[str, Any]:
        """The arguments of `subprocess.Popen` that make a program run as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": self.groups}


def resolve(name: str) -> Identity:
    """The user "nobody" or "1000:1000". Raises KeyError for an unknown name."""
    uid, colon, gid = name.partition(":")
    if not colon:
        entry = pwd.getpwnam(name)
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
        return Identity(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)
    try:
        home = pwd.getpwuid(int(uid)).pw_dir
    except KeyError:  # in a container there is often only a number
        home = "/"
    return Identity(name, int(uid), int(gid), (int(gid),), home)


def options_of(identity: Identity | None) -> dict[str, Any]:
    """The same as `Identity.options`; None is this process's own user."""
    return {} if identity is None else identity.options()


def run_as(identity: Identity | None, work: Callable[[], _T]) -> _T:
    """Run `work`, which opens, creates and removes files as that user; None: as this process.

    It must import nothing, because the user may be unable to read our modules. Raises CannotBecome,
    and what `work` raises.
    """
    if identity is None:
        return work()
    return in_own_thread(lambda: _take_on(identity), work, name=f"as {identity.name}")


def _take_on(identity: Identity) -> None:
    """Change this thread permanently. The result is checked, because setfsuid reports no
    failures."""
    number = _SETGROUPS.get(os.uname().machine)
    is_known = sys.platform == "linux" and number is not None and _IS_64_BIT
    try:
        setfsuid, setfsgid, syscall = map(c_function, ("setfsuid", "setfsgid", "syscall"))
    except NotConfined:  # a Python that was built without libffi
        is_known = False
    if not is_known:
        raise CannotBecome("this system has no way to write files as another user")
    assert number is not None
    groups = b"".join(each.to_bytes(_ID_BYTES, sys.byteorder) for each in identity.groups)
    setfsgid(identity.gid)
    syscall(number, len(identity.groups), groups)
    setfsuid(identity.uid)
    now = (setfsuid(_UNCHANGED) & _ID_MAX, setfsgid(_UNCHANGED) & _ID_MAX)
    has_ids = now == identity[1:3]
    if not has_ids or set(os.getgroups()) != set(identity.groups):
        raise CannotBecome(f"the runtime is not allowed to write files as {identity.name}")
