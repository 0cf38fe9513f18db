"""What INIT tells a worker to do to itself. The worker carries it out and knows no more of it.

{"level": "standard",
 "ruleset": "ffff0000...",      struct landlock_ruleset_attr, in hex
 "rules": [[access, [path, ...]], ...],
 "files": 32775,                what a rule for a file may bear
 "ports": [0],                  TCP ports that may be bound; 0: any free one
 "filter": "2000000004...",     the program for seccomp, in hex; empty for none
 "capabilities": [16, 17, ...], that no program gets again
 "own": [16, 17, ...]}          to be dropped by who is root
"""

from typing import Any

from buntime.core.sandbox.kernel import OF_FILES, Kernel, binds_are_ruled, handled, ruleset
from buntime.core.sandbox.plan import OWN_PROCESS, Level, Rules

# Of linux/capability.h. With these, root reads memory and disks past all files, changes what it may
# not write, hears others' traffic, or takes its limits back.
_OF_ROOT = {
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
_ALL = 64  # more than there are


def dropped_capabilities(*, is_root: bool, becomes_user: bool) -> list[int]:
    """Capabilities that neither the worker nor what it starts can ever have again."""
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
    """The `sandbox` of INIT: only what this kernel knows stands in it."""
    known = handled(kernel)
    return {
        "level": level,
        "ruleset": ruleset(kernel, is_strict=level == "strict").hex(),
        "rules": [[int(access & known), paths] for access, paths in rules if paths],
        "files": int(OF_FILES & known),
        "ports": [0] if binds_are_ruled(kernel) else [],
        "filter": program.hex() if kernel.has_seccomp else "",
        "capabilities": capabilities,
        "own": capabilities,
    }


def at_start(order: dict[str, Any], *, is_root: bool, becomes_user: bool) -> dict[str, Any]:
    """The same for a thread of the runtime that starts a program, which then becomes a user.

    Until then it has the capabilities that this takes; after that it has none.
    """
    capabilities = dropped_capabilities(is_root=is_root, becomes_user=becomes_user)
    return {
        **order,
        "rules": [[access, paths] for access, paths in order["rules"] if paths != [OWN_PROCESS]],
        "capabilities": capabilities,
        "own": [] if becomes_user else capabilities,
    }
