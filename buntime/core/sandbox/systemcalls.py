"""The system calls that a sandboxed worker is refused, as a program for seccomp.

All others are allowed. The program is a tree of comparisons: when it is installed, the kernel runs
it once for every call number, to learn for which calls it need not run at all. A list of 60 took
140 us, the tree takes 40 (Linux 6.18).

Numbers come from asm/unistd_64.h and, for arm64, asm-generic/unistd.h.
"""

import sys
from collections.abc import Callable

from buntime.core.values.tuples import NamedTuple

# Seccomp's data: the call's number, the architecture, and six arguments from byte 16 on.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

# Classic BPF.
_LOAD, _RETURN = 0x20, 0x06
_EQUAL, _AT_LEAST, _HAS_BITS = 0x15, 0x35, 0x45
_OFFSET_MAX = 255

_ALLOW = 0x7FFF0000
_KILL = 0x80000000
_REFUSE = 0x00050000  # with an errno
_EPERM, _ENOSYS = 1, 38
_X32 = 0x40000000  # another set of calls, with this bit in their numbers

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, arm64). None: the call does not exist.
_NUMBERS: dict[str, tuple[int, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fcntl": (72, 25),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

# Flags of clone and unshare that create a namespace, where a process can be root and mount. The
# first one has another meaning for clone.
_NEW_TIME = 0x00000080
_NEW_OTHERS = 0x7E020000
_TERMINAL_INPUT, _CONSOLE_INPUT = 0x5412, 0x541C  # TIOCSTI and TIOCLINUX type on others' behalf
# Sockets of these kinds take TCP ports too, and Landlock does not see it.
_SMC_FAMILY, _SMC, _MULTIPATH_TCP = 43, 256, 262  # of its own, or in a family of IP (Linux 6.11)
# F_SETLEASE and F_SETDELEG (Linux 6.19) have whoever opens the file wait, for up to 45 s.
_LEASE, _DELEGATION = 1024, 1040
_BY_USER, _IO_BY_USER = 2, 3  # PRIO_USER, IOPRIO_WHO_USER


class _Jump(NamedTuple):
    """A comparison with a constant, and where to continue."""

    code: int
    constant: int
    then: str
    otherwise: str


class _Step(NamedTuple):
    """An instruction that is followed by the next one, or by none."""

    code: int
    constant: int


_Program = dict[str, "list[_Jump | _Step]"]  # blocks by label


def refused(machine: str) -> tuple[str, ...]:
    """The names of the calls that are refused, always or with some arguments; sorted."""
    column = _column(machine)
    return () if column is None else tuple(sorted(_numbered(column)))


def is_known(machine: str) -> bool:
    """Whether there is a filter for this kind of machine."""
    return _column(machine) is not None


def program(machine: str, *, runtime_pid: int) -> bytes:
    """The filter for a kind of machine, as the kernel takes it; empty for an unknown kind.

    Workers must not restrict the process `runtime_pid` to certain processors.
    """
    column = _column(machine)
    if column is None:
        return b""
    conditions = _conditions(runtime_pid)
    blocks: _Program = {
        "start": [_Step(_LOAD, _ARCHITECTURE), _equal(_ARCHITECTURES[machine], "number", "kill")],
        "number": [_Step(_LOAD, _NUMBER), _Jump(_AT_LEAST, _X32, "kill", "tree")],
    }
    calls = sorted((number, name) for name, number in _numbered(column).items())
    _grow(blocks, "tree", calls, lambda name: _target(name, conditions))
    for name in conditions:
        for label, block in conditions[name].items():
            blocks[label] = block
    blocks["unknown"] = [_Step(_RETURN, _REFUSE | _ENOSYS)]
    blocks["refuse"] = [_Step(_RETURN, _REFUSE | _EPERM)]
    blocks["allow"] = [_Step(_RETURN, _ALLOW)]
    blocks["kill"] = [_Step(_RETURN, _KILL)]
    return _assemble(blocks)


def _column(machine: str) -> int | None:
    return list(_ARCHITECTURES).index(machine) if machine in _ARCHITECTURES else None


def _numbered(column: int) -> dict[str, int]:
    found = {name: numbers[column] for name, numbers in _NUMBERS.items()}
    return {name: number for name, number in found.items() if number is not None}


def _target(name: str, conditions: dict[str, _Program]) -> str:
    if name in conditions:
        return next(iter(conditions[name]))
    # Its flags are in memory, where no filter can look. Libraries fall back to clone.
    return "unknown" if name == "clone3" else "refuse"


def _conditions(runtime_pid: int) -> dict[str, _Program]:
    """The calls that are refused only with some arguments, each with its own blocks."""
    made: dict[str, _Program] = {
        "clone": _check("clone", 0, _Jump(_HAS_BITS, _NEW_OTHERS, "refuse", "allow")),
        "unshare": _check(
            "unshare", 0, _Jump(_HAS_BITS, _NEW_OTHERS | _NEW_TIME, "refuse", "allow")
        ),
        "ioctl": _check(
            "ioctl",
            1,
            _equal(_TERMINAL_INPUT, "refuse", ""),
            _equal(_CONSOLE_INPUT, "refuse", "allow"),
        ),
        "fcntl": _check(
            "fcntl", 1, _equal(_LEASE, "refuse", ""), _equal(_DELEGATION, "refuse", "allow")
        ),
        "socket": {
            "socket": [_argument(0), _equal(_SMC_FAMILY, "refuse", "socket protocol")],
            "socket protocol": [
                _argument(2),
                _equal(_SMC, "refuse", ""),
                _equal(_MULTIPATH_TCP, "refuse", "allow"),
            ],
        },
        # Others' limits can be read, only one's own be set.
        "prlimit64": {
            "prlimit64": [_argument(0), _equal(0, "allow", "prlimit64 low")],
            "prlimit64 low": [_argument(2), _equal(0, "prlimit64 high", "refuse")],
            "prlimit64 high": [_argument(2, high=True), _equal(0, "allow", "refuse")],
        },
    }
    for name, by_user in (("setpriority", _BY_USER), ("ioprio_set", _IO_BY_USER)):
        made[name] = {
            name: [_argument(0), _equal(by_user, "refuse", f"{name} who")],
            f"{name} who": [_argument(1), _equal(0, "allow", "refuse")],
        }
    for name in ("sched_setattr", "sched_setparam", "sched_setscheduler"):
        made[name] = _check(name, 0, _equal(0, "allow", "refuse"))
    # Libraries for computing place each of their threads, by its id.
    made["sched_setaffinity"] = _check(
        "sched_setaffinity", 0, _equal(runtime_pid, "refuse", "allow")
    )
    return made


def _check(name: str, number: int, *jumps: _Jump) -> _Program:
    return {name: [_argument(number), *jumps]}


def _argument(number: int, *, high: bool = False) -> _Step:
    """Load half of an argument; an int has only the lower half."""
    is_second = high == (sys.byteorder == "little")
    return _Step(_LOAD, _ARGUMENTS + 8 * number + 4 * is_second)


def _equal(constant: int, then: str, otherwise: str) -> _Jump:
    """Compare; an empty label means the next instruction."""
    return _Jump(_EQUAL, constant, then, otherwise)


def _grow(
    blocks: _Program, label: str, calls: list[tuple[int, str]], target: Callable[[str], str]
) -> None:
    """Add the tree that looks up a number in `calls`, sorted; numbers not in it are allowed."""
    if len(calls) == 1:
        [(number, name)] = calls
        blocks[label] = [_equal(number, target(name), "allow")]
        return
    middle = len(calls) // 2
    left, right = f"{label}0", f"{label}1"
    blocks[label] = [_Jump(_AT_LEAST, calls[middle][0], right, left)]
    _grow(blocks, left, calls[:middle], target)
    _grow(blocks, right, calls[middle:], target)


def _assemble(blocks: _Program) -> bytes:
    """`struct sock_filter` for each instruction, in the order of the blocks."""
    places: dict[str, int] = {}
    size = 0
    for label, block in blocks.items():
        places[label] = size
        size += len(block)
    encoded = bytearray()
    at = 0
    for block in blocks.values():
        for step in block:
            at += 1
            then = otherwise = 0
            if isinstance(step, _Jump):
                then, otherwise = (
                    places[label] - at if label else 0 for label in (step.then, step.otherwise)
                )
                if not (0 <= then <= _OFFSET_MAX and 0 <= otherwise <= _OFFSET_MAX):
                    raise AssertionError(f"{step} is too far from where it goes")
            encoded += step.code.to_bytes(2, sys.byteorder) + bytes((then, otherwise))
            encoded += step.constant.to_bytes(4, sys.byteorder)
    return bytes(encoded)
