"""Which errors are caused by this machine alone."""

from __future__ import annotations

import errno

import pytest

from buntime.confine import NotConfined
from buntime.server.defence.shortage import is_shortage, is_start_shortage


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_what_is_used_up(number: int) -> None:
    """Whatever was opened or started, these mean that a resource is exhausted."""
    assert is_shortage(OSError(number, "none left"))
    assert is_start_shortage(OSError(number, "none left"))


def test_processes_that_are_used_up() -> None:
    """EAGAIN at a start means too many processes, of a user, a container or the kernel; for a file
    it means something else."""
    assert is_start_shortage(OSError(errno.EAGAIN, "none left"))
    assert not is_shortage(OSError(errno.EAGAIN, "none left"))


def test_a_sandbox_that_takes_what_is_used_up() -> None:
    """A sandbox may fail for lack of descriptors, since its rules need one."""
    failed = NotConfined("no sandbox")
    assert not is_start_shortage(failed)
    failed.errno = errno.EMFILE
    assert is_start_shortage(failed)


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.EPERM, errno.E2BIG, errno.ENOTDIR]
)
def test_what_tells_of_a_program(number: int) -> None:
    """A program that is missing, not executable or not a program is no shortage."""
    assert not is_start_shortage(OSError(number, "no program"))
