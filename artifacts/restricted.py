"""Runs a container as Kubernetes does under its pod security standard `restricted`, by runc.

    user          one that the image does not know, of the group 0, as OpenShift gives one
    file system   read-only; /tmp is an emptyDir: open to all, without the sticky bit
    privileges    no capabilities, no_new_privs, the default profile of seccomp

`config_of` makes the config.json of the OCI runtime specification. Processes have their own
namespace, so that the program is process 1; the network is the host's.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

UID = 1_000_690_000
PROFILE = Path("/usr/share/containers/seccomp.json")  # of containers-common, as used by podman
_ARCHES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_SHORT = {"x86_64": "amd64", "aarch64": "arm64"}
_DEV = ["nosuid", "noexec"]


def config_of(
    root: Path, command: Sequence[str], env: Mapping[str, str], volumes: Mapping[str, Path]
) -> dict[str, Any]:
    """The configuration for runc; `volumes` are host folders by mount point, read-only except for
    /tmp."""
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": [*_DEV, "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/sys", "type": "bind", "source": "/sys",
         "options": [*_DEV, "nodev", "rbind", "ro"]},
    ]  # fmt: skip
    for place, source in volumes.items():
        options = ["rbind", "rw" if place == "/tmp" else "ro"]
        mounts.append(
            {"destination": place, "type": "bind", "source": str(source), "options": options}
        )
    nothing: list[str] = []
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "user": {"uid": UID, "gid": 0, "additionalGids": [UID]},
            "args": list(command),
            "cwd": "/",
            "env": [f"{name}={value}" for name, value in env.items()],
            "capabilities": dict.fromkeys(sets, nothing),
            "noNewPrivileges": True,
        },
        "mounts": mounts,
        "linux": {
            "namespaces": [{"type": each} for each in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            **({"seccomp": seccomp()} if PROFILE.exists() else {}),
        },
    }


def seccomp(profile: Path = PROFILE) -> dict[str, Any]:
    """The default profile of engines, as it is for this processor and no capability."""
    machine, told = platform.machine(), json.loads(profile.read_text("utf-8"))
    rules = []
    for rule in told["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        arches = includes.get("arches")
        if includes.get("caps") or (arches and _SHORT.get(machine) not in arches):
            continue
        if _SHORT.get(machine) in (excludes.get("arches") or ()):
            continue
        made = {"names": rule["names"], "action": rule["action"]}
        for name in ("args", "errnoRet"):
            if rule.get(name):
                made[name] = rule[name]
        rules.append(made)
    return {
        "defaultAction": told["defaultAction"],
        "defaultErrnoRet": told.get("defaultErrnoRet", 1),
        "architectures": [_ARCHES[machine]],
        "syscalls": rules,
    }
