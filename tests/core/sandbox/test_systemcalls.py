"""The filter of system calls, run by an interpreter for the few instructions that it uses."""

from __future__ import annotations

import struct
import sys

import pytest

from buntime.core.sandbox.systemcalls import _NUMBERS, program, refused

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
RUNTIME = 4321
BOTH = pytest.mark.parametrize("machine", MACHINES)


def run(code: bytes, number: int, architecture: int, *arguments: int) -> int:
    """What the kernel would do with a call."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", code))
    at = loaded = 0
    while True:
        kind, then, otherwise, constant = steps[at]
        at += 1
        if kind == 0x20:
            [loaded] = struct.unpack_from("=I", data, constant)
        elif kind == 0x06:
            return int(constant)
        else:
            holds = {
                0x15: loaded == constant,
                0x35: loaded >= constant,
                0x45: bool(loaded & constant),
            }[kind]
            at += then if holds else otherwise


def call(machine: str, name: str, *arguments: int) -> int:
    column, architecture = MACHINES[machine]
    number = _NUMBERS[name][column]
    assert number is not None
    return run(program(machine, runtime_pid=RUNTIME), number, architecture, *arguments)


@BOTH
def test_each_number(machine: str) -> None:
    """Calls on the list are refused, all others are allowed, and clone3 does not exist."""
    column, architecture = MACHINES[machine]
    code = program(machine, runtime_pid=RUNTIME)
    by_number = {numbers[column]: name for name, numbers in _NUMBERS.items()}
    by_number.pop(None, None)
    depends = "clone unshare fcntl ioctl socket prlimit64 setpriority ioprio_set".split()
    for number in range(600):
        name = by_number.get(number, "")
        if name in depends or name.startswith("sched_"):
            expected = ALLOW
        else:
            expected = ENOSYS if name == "clone3" else EPERM if name else ALLOW
        assert run(code, number, architecture) == expected, (number, name)


# What docs/security.md says no app can do, by the calls that do it.
REFUSED = """
    ptrace process_vm_readv process_vm_writev pidfd_getfd
    mount umount2 pivot_root move_mount open_tree open_tree_attr fsopen fsconfig fsmount fspick
    mount_setattr clone clone3 unshare setns
    bpf perf_event_open userfaultfd keyctl add_key request_key
    io_uring_setup io_uring_enter io_uring_register
    init_module finit_module delete_module kexec_load kexec_file_load reboot
    swapon swapoff quotactl quotactl_fd acct syslog
    clock_settime settimeofday sethostname setdomainname fanotify_init open_by_handle_at
    fcntl ioctl socket prlimit64 setpriority ioprio_set
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler
""".split()


def test_what_is_refused() -> None:
    """No call is left out by mistake: there are those of the page on security, and no others."""
    assert set(refused("aarch64")) == set(REFUSED)
    assert set(refused("x86_64")) == {*REFUSED, "ioperm", "iopl", "modify_ldt"}


@BOTH
def test_other_architectures_are_killed(machine: str) -> None:
    """The numbers of another architecture, or of x32, mean other calls."""
    code = program(machine, runtime_pid=RUNTIME)
    assert run(code, 0, 0x40000003) == KILL  # i386
    assert run(code, 0x40000000, MACHINES[machine][1]) == KILL


@BOTH
def test_namespaces(machine: str) -> None:
    """An app may create processes and threads, but not namespaces."""
    assert call(machine, "clone", 0x3D0F00) == ALLOW  # a thread's flags
    assert call(machine, "clone", 17 | 0x80) == ALLOW  # the lowest byte is a signal
    for flag in (0x20000, 0x10000000, 0x20000000, 0x40000000):
        assert call(machine, "clone", flag | 17) == EPERM
        assert call(machine, "unshare", flag) == EPERM
    assert call(machine, "unshare", 0x80) == EPERM
    assert call(machine, "unshare", 0x400) == ALLOW  # CLONE_FILES


@BOTH
def test_terminals(machine: str) -> None:
    """An app can ask a terminal for its size, but cannot type into it."""
    assert call(machine, "ioctl", 0, 0x5413) == ALLOW
    for request in (0x5412, 0x541C, 0x5412 | 1 << 32):  # the kernel looks at the lower half only
        assert call(machine, "ioctl", 0, request) == EPERM


@BOTH
def test_sockets(machine: str) -> None:
    """An app makes sockets of any kind, but not those that take TCP ports past Landlock."""
    for family, protocol in ((2, 0), (2, 6), (2, 255), (10, 6), (1, 0), (16, 0)):
        assert call(machine, "socket", family, 1, protocol) == ALLOW
    for family in (2, 10):
        for flags in (1, 1 | 0x80000):  # SOCK_CLOEXEC
            assert call(machine, "socket", family, flags, 262) == EPERM  # multipath TCP
            assert call(machine, "socket", family, flags, 256) == EPERM  # SMC
    assert call(machine, "socket", 43, 1, 0) == EPERM  # SMC


@BOTH
def test_leases(machine: str) -> None:
    """An app can lock a file, but not make others wait who open it."""
    for command in (1, 2, 6, 1025, 1030):  # F_GETFD, F_SETFD, F_SETLK, F_GETLEASE, F_DUPFD_CLOEXEC
        assert call(machine, "fcntl", 5, command) == ALLOW
    for command in (1024, 1040):
        assert call(machine, "fcntl", 5, command) == EPERM


@BOTH
def test_limits_of_others(machine: str) -> None:
    """A process reads the limits of any process, but sets only its own."""
    assert call(machine, "prlimit64", 0, 7, 1, 0) == ALLOW
    assert call(machine, "prlimit64", RUNTIME, 7, 0, 1) == ALLOW
    for limits in (1, 1 << 40):
        assert call(machine, "prlimit64", RUNTIME, 7, limits, 0) == EPERM


@BOTH
def test_priorities_of_others(machine: str) -> None:
    """A process can lower its own priority, but not that of others."""
    for name, user in (("setpriority", 2), ("ioprio_set", 3)):
        assert call(machine, name, 0, 0, 5) == ALLOW
        assert call(machine, name, 0, RUNTIME, 5) == EPERM
        assert call(machine, name, user, 0, 5) == EPERM
    for name in ("sched_setattr", "sched_setparam", "sched_setscheduler"):
        assert call(machine, name, 0) == ALLOW
        assert call(machine, name, RUNTIME + 1) == EPERM
        assert call(machine, name, RUNTIME) == EPERM


@BOTH
def test_processors_of_others(machine: str) -> None:
    """A process can place its own threads on processors, but not the runtime."""
    assert call(machine, "sched_setaffinity", 0) == ALLOW
    assert call(machine, "sched_setaffinity", RUNTIME + 1) == ALLOW  # a thread's own id
    assert call(machine, "sched_setaffinity", RUNTIME) == EPERM


def test_unknown_machine() -> None:
    """For a machine with unknown call numbers there is no filter."""
    assert program("riscv64", runtime_pid=1) == b""
    assert refused("riscv64") == ()


@BOTH
def test_it_is_short(machine: str) -> None:
    """The filter is short, so that each call costs few instructions."""
    assert len(program(machine, runtime_pid=1)) // 8 < 200
    assert {"ptrace", "mount", "bpf", "keyctl"} <= set(refused(machine))


@pytest.mark.skipif(sys.byteorder != "little", reason="these machines are little endian")
def test_numbers_are_the_headers() -> None:
    """The numbers match the system's own headers, if they are installed."""
    headers = {
        0: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        1: "/usr/include/asm-generic/unistd.h",
    }
    for column, path in headers.items():
        try:
            with open(path, encoding="ascii") as file:
                lines = [line.split() for line in file if line.startswith("#define __NR")]
        except FileNotFoundError:
            pytest.skip("the kernel's headers are not installed")
        known = {words[1]: words[2] for words in lines if len(words) > 2}
        for name, numbers in _NUMBERS.items():
            number = known.get(f"__NR_{name}")
            if number is not None:  # or the name of another definition, as for fcntl on arm64
                assert str(numbers[column]) == known.get(number, number), name
