"""What a worker is told to do to itself. It carries this out and knows nothing more about it.

PREPARE contains what is the same for all apps, so that a spare has done it before its app comes:

{"type": "PREPARE",
 "ruleset": "ffff0000...",      struct landlock_ruleset_attr, in hex
 "rules": [[access, [path, ...]], ...],
 "files": 32775,                what a rule for a file may contain
 "ports": [0],                  TCP ports that may be bound; 0: any free one
 "filter": "2000000004..."}     the program for seccomp, in hex; empty for none

The `sandbox` of INIT has the same keys except the type, and

{"level": "standard",
 "is_begun": true,              the rules are added to those of PREPARE; else they are all
 "capabilities": [16, 17, ...], which no program gets again
 "own": [16, 17, ...]}          to be dropped if the worker is root
"""

from typing import Any

from buntime.core.sandbox.kernel import OF_FILES, Kernel, binds_are_ruled, handled, ruleset
from buntime.core.sandbox.plan import OWN_PROCESS, Level, Rules
from buntime.wire import PREPARE

# From linux/capability.h. With these, root reads memory and disks regardless of file permissions,
# changes what it may not write, hears others' traffic, or removes its own limits. With the first it
# makes files immutable that it can only read, for good.
_OF_ROOT = {
    "LINUX_IMMUTABLE": 9,
    "NET_ADMIN": 12,
    "NET_RAW": 13,
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_PTRACE": 19,
    "SYS_PACCT": 20,
    "SYS_ADMIN": 21,
    "SYS_BOOT": 22,
    "SYS_RESOURCE": 24,
    "SYS_TIME": 25,
    "SYS_TTY_CONFIG": 26,
    "MKNOD": 27,
    "AUDIT_CONTROL": 30,
    "MAC_OVERRIDE": 32,
    "MAC_ADMIN": 33,
    "SYSLOG": 34,
    "AUDIT_READ": 37,
    "PERFMON": 38,
    "BPF": 39,
    "CHECKPOINT_RESTORE": 40,
}
_ALL = 64  # more than exist


def dropped_capabilities(*, is_root: bool, becomes_user: bool) -> list[int]:
    """The capabilities that neither the worker nor anything it starts can ever have again."""
    if not is_root:
        return []  # it has none, and may not change the bounding set
    return list(range(_ALL)) if becomes_user else sorted(_OF_ROOT.values())


def make_order(
    level: Level,
    rules: Rules,
    kernel: Kernel,
    *,
    program: bytes,
    capabilities: list[int],
) -> dict[str, Any]:
    """The `sandbox` of INIT, with only what this kernel knows."""
    return {
        **_of_all(level, rules, kernel, program),
        "level": level,
        "is_begun": False,
        "capabilities": capabilities,
        "own": capabilities,
    }


def preparation(rules: Rules, kernel: Kernel, *, program: bytes) -> dict[str, Any]:
    """PREPARE, with the rules for all apps at the level "standard"."""
    return {"type": PREPARE, **_of_all("standard", rules, kernel, program)}


def when_prepared(order: dict[str, Any]) -> dict[str, Any]:
    """The same order for a worker that has been sent PREPARE, but with other rules."""
    return {**order, "filter": ""}


def when_begun(order: dict[str, Any], own: Rules, kernel: Kernel) -> dict[str, Any]:
    """The same for a worker whose PREPARE had this order's common rules: `own` are added to
    them."""
    return {**when_prepared(order), "rules": _encoded(own, kernel), "ports": [], "is_begun": True}


def _of_all(level: Level, rules: Rules, kernel: Kernel, program: bytes) -> dict[str, Any]:
    return {
        "ruleset": ruleset(kernel, is_strict=level == "strict").hex(),
        "rules": _encoded(rules, kernel),
        "files": int(OF_FILES & handled(kernel)),
        "ports": [0] if binds_are_ruled(kernel) else [],
        "filter": program.hex() if kernel.has_seccomp else "",
    }


def _encoded(rules: Rules, kernel: Kernel) -> list[list[Any]]:
    known = handled(kernel)
    return [[int(access & known), paths] for access, paths in rules if paths]


def at_start(order: dict[str, Any], *, is_root: bool, becomes_user: bool) -> dict[str, Any]:
    """The same for a thread of the runtime that starts a program, which then changes to a user.

    Until then it has the capabilities that this needs; after that it has none.
    """
    capabilities = dropped_capabilities(is_root=is_root, becomes_user=becomes_user)
    return {
        **order,
        "rules": [[access, paths] for access, paths in order["rules"] if paths != [OWN_PROCESS]],
        "capabilities": capabilities,
        "own": [] if becomes_user else capabilities,
    }
