"""Control groups (cgroup v2) of workers whose apps have limits for one.

    buntime.service/            the folder that systemd, or RUNTIME_CGROUP, leaves to the runtime
      runtime/                  the runtime itself: a group with processes has no controllers below
      worker-812-w3/            a worker and all that it has started

A group contains everything that its worker started, even what has detached itself. When the worker
is gone the group is killed, and removed as soon as it is empty.

Moving a process takes the kernel 1 ms (it waits for RCU), so it is done only for apps with limits.
"""

import os

from buntime.core.sandbox.groups import CONTROLLERS, Held, Limit, held, oom_kills, own_group
from buntime.core.telemetry.records import Tell
from buntime.core.values.tuples import NamedTuple

_MOUNT = "/sys/fs/cgroup"
_MARKS = ("user.delegate", "trusted.delegate")  # of systemd 251, and earlier for root
_LEAF = "runtime"
_AUTO, _OFF = "auto", "off"


class Place(NamedTuple):
    """A folder that the runtime may divide; if there is none, `reason` says why."""

    folder: str | None
    controllers: tuple[str, ...] = ()
    reason: str = ""


def find_place(setting: str, *, mount: str = _MOUNT) -> Place:
    """Look for it, and change nothing. `setting` is "auto", "off" or a folder."""
    if setting == _OFF:
        return Place(None, reason="RUNTIME_CGROUP is off")
    folder = _delegated(mount) if setting == _AUTO else setting
    if folder is None:
        reason = "no cgroup is delegated to the runtime: set Delegate=yes in its systemd unit"
        return Place(None, reason=reason)
    try:
        controllers = _read(f"{folder}/cgroup.controllers").split()
    except OSError as exc:
        return Place(None, reason=f"{exc.filename}: {exc.strerror}")
    found = tuple(name for name in CONTROLLERS if name in controllers)
    reason = "" if found else f"{folder} has none of the controllers {', '.join(CONTROLLERS)}"
    return Place(folder, found, reason)


class _Group:
    """The group of a worker that is there."""

    def __init__(self, folder: str, limits: tuple[Limit, ...], pid: int) -> None:
        """Raises OSError if it cannot be made; then nothing of it is left."""
        self.folder = folder
        self.memory = next((limit for limit in limits if limit.controller == "memory"), None)
        self.seen_kills = 0  # at the last look
        self.had_kills = False  # since the look before
        os.mkdir(folder)
        try:
            for limit in limits:
                for name, text in limit.files:
                    _set(f"{folder}/{name}", text)
            _write(f"{folder}/cgroup.procs", f"{pid}")
        except OSError:
            os.rmdir(folder)
            raise

    def kills(self) -> int:
        """How many of its processes were killed for its memory."""
        if self.memory is None:
            return 0
        try:
            return oom_kills(_read(f"{self.folder}/memory.events"))
        except OSError:
            return 0


# Nobody has started to use groups, as in `buntime check`, whose workers only load their apps.
_UNKNOWN = Place(None, reason="not looked for yet")


class Groups:
    """The groups of all workers, by the workers' numbers."""

    def __init__(self, setting: str, warn: Tell, *, mount: str = _MOUNT) -> None:
        """`warn` gets what goes wrong."""
        self.place = _UNKNOWN
        self._setting = setting
        self._warn = warn
        self._mount = mount
        self._groups: dict[int, _Group] = {}
        self._leaving: list[str] = []  # of workers that are gone, and not removed yet
        self._warned_of: set[tuple[str, ...]] = set()

    def __repr__(self) -> str:
        return f"Groups({self.place.folder}, {len(self._groups)} workers)"

    def to_json(self) -> dict[str, object]:
        """For `/api/workers`."""
        place = self.place
        return {
            "cgroup": place.folder,
            "controllers": list(place.controllers),
            "reason": place.reason or None,
        }

    def start(self) -> None:
        """Start using the folder, before there are workers."""
        place = find_place(self._setting, mount=self._mount)
        if place.folder is not None and place.controllers:
            try:
                _enter(place.folder)
                _enable(place.folder, place.controllers)
                _remove_old(place.folder)
            except OSError as exc:
                reason = f"{exc.filename}: {exc.strerror}"
                place = Place(place.folder, reason=reason)
        self.place = place

    def put(self, number: int, pid: int, limits: tuple[Limit, ...], app: str) -> tuple[str, ...]:
        """Apply the limits to a worker. Returns the keys of those that cannot be applied; they are
        logged once."""
        wanted: Held = held(limits, self.place.controllers)
        is_told = self.place is _UNKNOWN or (app, *wanted.without_effect) in self._warned_of
        if wanted.without_effect and not is_told:
            self._warned_of.add((app, *wanted.without_effect))
            self._warn(
                "limits.without_effect",
                "limits of an app have no effect here",
                app=app,
                keys=wanted.without_effect,
                reason=self.place.reason,
            )
        if wanted.limits and self.place.folder is not None:
            folder = f"{self.place.folder}/worker-{os.getpid()}-w{number}"
            try:
                self._groups[number] = _Group(folder, wanted.limits, pid)
            except OSError as exc:
                self._warn(
                    "limits.failed",
                    "limits cannot be set for a worker",
                    app=app,
                    worker=f"w{number}",
                    error=f"{exc.filename}: {exc.strerror}",
                )
                return tuple(limit.key for limit in limits)
        return wanted.without_effect

    def memory_limit(self, number: int) -> str:
        """The memoryMax for which a process of the worker was killed; "" if none was."""
        group = self._groups.get(number)
        if group is None or group.memory is None:
            return ""
        return group.memory.text if group.had_kills or group.kills() > group.seen_kills else ""

    def look(self, number: int) -> bool:
        """Whether, since the last look, a process that the worker has started was killed so."""
        group = self._groups.get(number)
        if group is None or group.memory is None:
            return False
        before, group.seen_kills = group.seen_kills, group.kills()
        group.had_kills = group.seen_kills > before
        return group.had_kills

    def end(self, number: int) -> None:
        """The worker is gone: kill everything that it has started."""
        group = self._groups.pop(number, None)
        if group is not None:
            self._leaving.append(group.folder)
            self.sweep()

    def sweep(self) -> None:
        """Kill what is left in groups whose workers are gone, and remove those that are empty."""
        self._leaving = [folder for folder in self._leaving if not _is_ended(folder)]


# How it is done


def _delegated(mount: str) -> str | None:
    """The folder of this process's group, or the one above it, that systemd has delegated to it."""
    try:
        path = own_group(_read("/proc/self/cgroup"))
    except OSError:
        return None
    if path is None:
        return None
    own = os.path.normpath(f"{mount}/{path}")
    return next(filter(_is_delegated, (own, os.path.dirname(own))), None)


def _is_delegated(folder: str) -> bool:
    for mark in _MARKS:
        try:
            if os.getxattr(folder, mark) == b"1":
                return True
        except (OSError, AttributeError):  # no such mark; macOS has no such call
            continue
    return False


def _enter(folder: str) -> None:
    """Move the runtime, and what is there with it, into a subgroup: the binary's first process,
    which has forked it."""
    pids = _read(f"{folder}/cgroup.procs").split()
    if str(os.getpid()) not in pids:
        return
    leaf = f"{folder}/{_LEAF}"
    os.makedirs(leaf, exist_ok=True)
    for pid in pids:
        try:
            _write(f"{leaf}/cgroup.procs", pid)
        except ProcessLookupError:  # it has just ended
            continue


def _enable(folder: str, controllers: tuple[str, ...]) -> None:
    for name in controllers:
        _write(f"{folder}/cgroup.subtree_control", f"+{name}")


def _remove_old(folder: str) -> None:
    """Remove the groups of a killed runtime; those in use cannot be removed."""
    for name in os.listdir(folder):
        if name.startswith("worker-"):
            _is_removed(f"{folder}/{name}")


def _is_ended(folder: str) -> bool:
    try:
        _write(f"{folder}/cgroup.kill", "1")
    except OSError:  # before Linux 5.14; or no descriptor is left, and the next look tries again
        pass
    return _is_removed(folder)


def _is_removed(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:  # a process is still there
        return False
    return True


def _set(path: str, text: str) -> None:
    """Write to a file that not every kernel has, for example if memory cannot be swapped."""
    try:
        _write(path, text)
    except FileNotFoundError:
        if not path.endswith(".swap.max"):
            raise


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "w", encoding="utf-8") as file:
        file.write(text)
