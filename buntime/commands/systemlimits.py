"""What the system allows, compared with what the settings may need: descriptors, processes,
memory."""

import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

from buntime.core.errors import UsageError
from buntime.core.settings.load import Settings
from buntime.core.values.units import format_size
from buntime.server.http1.descriptors import fit, needed

_WORKER_BYTES = 15 << 20  # of a small app; a large one takes ten times that
_FILES_MAX = 1 << 20  # of one process, on Linux unless fs.nr_open says otherwise
_CGROUP = Path("/sys/fs/cgroup")  # in a container this is its own

Limit = tuple[str, str, str, str]  # topic, text, "" or "warning", a command that mends it


def limits(settings: Settings, *, beside: int) -> Iterator[Limit]:
    """The limits, and a warning if one is lower than the settings allow.

    `beside` is how many workers plugins may have, which no setting limits.
    """
    yield from _descriptors(settings, beside)
    yield from _processes(settings)
    yield from _memory(settings)
    folder = tempfile.gettempdir()
    yield "temporary", folder, "", ""
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        yield (
            "temporary",
            f"{folder} is mounted noexec: apps cannot run what they put there",
            "",
            "",
        )


def _descriptors(settings: Settings, beside: int) -> Iterator[Limit]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield "open files", f"{_shown(soft)}; can be raised to {_shown(hard)}", "", ""
    try:
        possible = fit(settings, beside=beside)
    except UsageError as exc:
        yield "open files", str(exc), "warning", f"ulimit -n {needed(settings, beside=beside)}"
        return
    for name, what, allowed, wanted in (
        (
            "RUNTIME_CONNECTIONS_MAX",
            "connections",
            possible.connections_max,
            settings.connections_max,
        ),
        ("RUNTIME_POOL_SIZE", "workers", possible.pool_size, settings.pool_size),
    ):
        if allowed < wanted:
            text = f"the limit allows only {allowed} {what}, not {wanted}; raise the limit"
            wants = needed(settings, beside=beside)
            command = f"ulimit -n {wants}" if wants <= _FILES_MAX else f"export {name}={allowed}"
            yield "open files", text, "warning", command


def _processes(settings: Settings) -> Iterator[Limit]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    found = [soft] if soft != resource.RLIM_INFINITY else []
    in_group = _number_in("pids.max")
    if in_group is not None:
        found.append(in_group)
    most = min(found, default=resource.RLIM_INFINITY)
    yield "processes", _shown(most), "", ""
    # Threads count too: a worker has some, depending on how many requests it handles at once.
    wanted = 10 * (settings.pool_size + settings.ephemeral_concurrency + settings.spare_workers)
    if most != resource.RLIM_INFINITY and most < wanted:
        text = (
            f"a full pool may want {wanted} processes and threads, more than the limit allows; "
            "raise the limit (ulimit -u, "
        )
        yield (
            "processes",
            text + "TasksMax=, pids_limit) or lower RUNTIME_POOL_SIZE",
            "warning",
            f"ulimit -u {wanted}",
        )


def _memory(settings: Settings) -> Iterator[Limit]:
    size_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    in_group = _number_in("memory.max")
    if in_group is not None:
        size_bytes = min(size_bytes, in_group)
    size_mb = size_bytes >> 20
    yield "memory", f"{size_mb} MB", "", ""
    wanted_bytes = settings.pool_size * _WORKER_BYTES
    if wanted_bytes > size_bytes:
        text = f"a full pool of {settings.pool_size} small apps takes {format_size(wanted_bytes)}; "
        command = f"export RUNTIME_POOL_SIZE={max(1, size_bytes // _WORKER_BYTES)}"
        yield "memory", text + "lower RUNTIME_POOL_SIZE", "warning", command


def _number_in(name: str) -> int | None:
    """A limit of the control group, None if there is none."""
    try:
        text = (_CGROUP / name).read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _shown(number: int) -> str:
    return "unlimited" if number == resource.RLIM_INFINITY else str(number)
