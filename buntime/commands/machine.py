"""What `buntime doctor` finds on this machine, whatever the settings are."""

import os
import platform
import pwd
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from buntime.commands.advice import export
from buntime.commands.cli import version_line
from buntime.core.sandbox.kernel import LEAST_ABI, acts
from buntime.core.sandbox.systemcalls import refused
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import counted
from buntime.server.bundle.bundle import default_cache_dir
from buntime.server.bundle.cachefolder import prepare_cache
from buntime.server.pool.cores import cores
from buntime.server.pythons.users import ANY_APP
from buntime.server.sandbox.probe import find_kernel


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `mark` is "" for information, "warning", or "fault".

    `command` is a shell command that fixes a marked finding, or shows more about it.
    """

    topic: str
    text: str
    mark: str = ""
    command: str = ""


Findings = Iterator[Finding]


def find_here(mode: Mode) -> Findings:
    """Version, Python, system, user, sandbox and cache."""
    yield Finding("version", version_line(mode))
    yield Finding("started as", os.path.abspath(sys.argv[0]))
    yield Finding("python", f"{sys.executable} ({platform.python_implementation()})")
    libc = " ".join(platform.libc_ver())
    system = f"{platform.system()} {platform.release()} {platform.machine()} {libc}".rstrip()
    yield Finding("system", f"{system}, {counted(cores(), 'core')}")
    yield from _user()
    yield from _sandbox()
    yield from _cache()
    if sys.platform == "linux" and not os.path.exists("/proc/self/stat"):
        text = "/proc is not mounted, so what apps leave behind cannot be found"
        yield Finding("system", text, "warning", "mount -t proc proc /proc")


def _user() -> Findings:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = "without a name"
    yield Finding("user", f"{name} ({uid})")


def warn_of_root(settings: Settings) -> Findings:
    """Root that may run apps as itself."""
    if os.geteuid() == 0 and ANY_APP not in settings.app_users:
        text = (
            "apps without a `user` run as root; set RUNTIME_APP_USERS, or start Buntime as "
            "another user"
        )
        yield Finding("user", text, "warning", export("RUNTIME_APP_USERS", "*=nobody"))


def _sandbox() -> Findings:
    """What keeps apps apart on this kernel."""
    kernel = find_kernel()
    if not kernel.is_fit:
        text = (
            f"apps run without one: it needs Landlock ABI {LEAST_ABI} (Linux 6.2) or later, and "
            f"this kernel has {f'ABI {kernel.abi}' if kernel.abi else 'none'}"
        )
        yield Finding("sandbox", text, "warning", "uname -r")
        return
    filters = kernel.has_seccomp and bool(refused(kernel.machine))
    yield Finding(
        "sandbox", f"Landlock ABI {kernel.abi}: {', '.join(acts(kernel, filters=filters))}"
    )
    if not filters:
        text = (
            "system calls are not filtered: this kernel has no seccomp, or there is no list "
            f"for {kernel.machine}"
        )
        yield Finding("sandbox", text, "warning", "grep -i seccomp /proc/self/status")


def _cache() -> Findings:
    folder = default_cache_dir(os.environ)
    if folder is None:
        text = "neither XDG_CACHE_HOME nor HOME is set; each start unpacks to a temporary folder"
        yield Finding("cache", text, "warning", export("XDG_CACHE_HOME", "/var/cache"))
        return
    try:
        reason = prepare_cache(str(folder))
    except OSError as exc:
        reason = f"{exc.filename}: {exc.strerror}"
    yield Finding("cache", str(folder))
    if reason:
        text = f"{reason}; each start unpacks to a temporary folder"
        yield Finding("cache", text, "warning", f"ls -ld {quote(str(folder))}")
