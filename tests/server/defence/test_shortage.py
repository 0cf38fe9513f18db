"""Which errors tell of this machine alone."""

from __future__ import annotations

import errno

import pytest

from buntime.confine import NotConfined
from buntime.server.defence.shortage import is_shortage, is_start_shortage


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_what_is_used_up(number: int) -> None:
    """Whatever is opened or started."""
    assert is_shortage(OSError(number, "none left"))
    assert is_start_shortage(OSError(number, "none left"))


def test_processes_that_are_used_up() -> None:
    """Those of a user, a container or the kernel; a file says this of something else."""
    assert is_start_shortage(OSError(errno.EAGAIN, "none left"))
    assert not is_shortage(OSError(errno.EAGAIN, "none left"))


def test_a_sandbox_that_takes_what_is_used_up() -> None:
    """Its rules are a descriptor."""
    failed = NotConfined("no sandbox")
    assert not is_start_shortage(failed)
    failed.errno = errno.EMFILE
    assert is_start_shortage(failed)


@pytest.mark.parametrize(
    "number", [errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.EPERM, errno.E2BIG, errno.ENOTDIR]
)
def test_what_tells_of_a_program(number: int) -> None:
    """It is not there, may not be run, is none."""
    assert not is_start_shortage(OSError(number, "no program"))
