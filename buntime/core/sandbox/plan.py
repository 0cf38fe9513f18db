"""Which paths an app's workers may read and write, by the level of its sandbox.

Landlock can only allow. So that an app can read everything except what is not its business, all
paths beside each folder on the way to a closed one are allowed, one by one:

    closed:    /srv/apps, /var/lib/buntime
    allowed:   /bin /etc /home /usr ... /srv/www ... /var/log /var/lib/dpkg ...

As a result, the folders on the way (`/`, `/srv`, `/var`, `/var/lib`) cannot be listed, and running
workers cannot read what is created in them later. Most rules are the same for all apps: a worker
can apply them before it knows its app.

Paths are absolute, with their links resolved: the kernel goes by files, not by names.
"""

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal

from buntime.core.access.paths import is_within
from buntime.core.sandbox.kernel import READ, RUN, USE, WRITE, Access
from buntime.core.values.frozen import frozen

Level = Literal["off", "standard", "strict"]
LEVELS: tuple[Level, ...] = ("off", "standard", "strict")

# The paths in a folder, without links; if these may not all be allowed, only those of the given
# paths, which lead to what is closed.
Entries = Callable[[str, Collection[str]], Iterable[str]]
Rules = list[tuple[int, list[str]]]

_ALL = ("/",)
# Where programs, libraries and their data are; the last two are for NixOS and Guix.
SYSTEM_RUN = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"),
    *("/nix/store", "/gnu/store"),
)
# Names, certificates, the loader's files, time and users. /sys has the number of cores.
SYSTEM_READ = (
    "/proc",
    "/sys/devices/system/cpu",
    *(
        f"/etc/{name}"
        for name in (
            *("resolv.conf", "hosts", "hostname", "host.conf", "nsswitch.conf", "gai.conf"),
            *("services", "protocols", "networks", "mime.types"),
            # Not all of ssl and pki: servers keep their private keys there, and root can read them.
            *("ssl/certs", "ssl/cert.pem", "ssl/ca-bundle.pem", "ssl/openssl.cnf"),
            *("pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf", "pki/tls/openssl.d"),
            *("pki/ca-trust", "ca-certificates", "ca-certificates.conf", "crypto-policies"),
            *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload"),
            *("ld-musl-x86_64.path", "ld-musl-aarch64.path"),
            *("localtime", "timezone", "zoneinfo", "locale.alias", "locale.conf"),
            *("passwd", "group", "fonts"),
            # Which system this is; pip asks.
            *("os-release", "lsb-release", "system-release", "debian_version", "alpine-release"),
            *("arch-release", "centos-release", "fedora-release", "redhat-release"),
        )
    ),
)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts")
_DEVICE_FOLDER = "/dev"
_SHARED_MEMORY = "/dev/shm"  # for multiprocessing's locks and arrays
# With the slash the link is followed, to the worker's own process. A thread of the runtime gets no
# rule for it, because there it would be the runtime's.
OWN_PROCESS = "/proc/self/"


@frozen(kw_only=True)
class Surroundings:
    """What exists beside an app, the same for all apps."""

    apps: tuple[str, ...]  # folders that hold apps, and apps that their links lead to
    secrets: tuple[str, ...]  # the runtime's own: its state, keys, settings
    scratch: tuple[str, ...] = ()  # also contains the temporary folders of all apps
    # What `strict` allows: programs and libraries, and what is only read.
    run: tuple[str, ...] = SYSTEM_RUN
    read: tuple[str, ...] = SYSTEM_READ

    @property
    def closed(self) -> tuple[str, ...]:
        """All of these, and the devices, some of which are allowed by name."""
        return (*self.apps, *self.secrets, *self.scratch, _DEVICE_FOLDER)


@frozen(kw_only=True)
class AppPaths:
    """An app's own paths."""

    folder: str
    versions: tuple[str, ...]  # folders of its other versions
    kept: tuple[str, ...]  # its data and its temporary folder
    wanted: tuple[str, ...]  # `write` of its manifest
    python: tuple[str, ...]  # its interpreter, its packages, and the worker's code
    told: tuple[str, ...] = ()  # more of these, as the app reports
    read: tuple[str, ...] = ()  # what else may be read
    is_built: bool = False  # what is in `kept` may also be run, even at the level "strict"
    is_shipped: bool = False  # it is shipped with the runtime, and must not change itself


@frozen()
class Plan:
    """What is allowed, and which paths of `write` are not, or only in part."""

    common: Rules  # for all apps of this level
    own: Rules  # for this app
    denied: tuple[str, ...]

    @property
    def rules(self) -> Rules:
        return [*self.common, *self.own]


def plan(
    level: Level,
    app: AppPaths,
    around: Surroundings,
    entries: Entries,
    common: Rules | None = None,
) -> Plan:
    """The rules for an app. `common` is `common_rules`, if already known."""
    common = common_rules(level, around, entries) if common is None else common
    others = [path for path in around.apps if path != app.folder]
    own = list(_inside(app.folder, (*others, *around.secrets), entries))
    fixed, changed = (own, []) if app.is_shipped else ([], own)
    read = [inner for path in app.read for inner in _inside(path, around.closed, entries)]
    needed = (*app.python, *_believed(app, around))
    python = [inner for path in needed for inner in _inside(path, around.closed, entries)]
    given = {path: list(_given(path, app, around, entries)) for path in app.wanted}
    denied = tuple(path for path, inner in given.items() if inner != [path])
    granted = [path for inner in given.values() for path in inner]
    devices = [path for path in granted if is_within(path, _DEVICE_FOLDER)]
    kept = _outermost([*app.kept, *(path for path in granted if path not in devices)])
    rules: Rules
    if level == "strict":
        written = WRITE | Access.EXECUTE if app.is_built else WRITE
        rules = [(RUN, [*own, *python]), (READ, read), (written, kept)]
    else:
        # All have the same rights: a move is refused where a file would gain rights.
        rules = [
            (RUN, [*app.versions, *python, *read, *fixed]),
            (WRITE | Access.EXECUTE, [*changed, *kept]),
        ]
    rules += [
        (USE | Access.READ_DIR, devices),
        (READ | Access.WRITE_FILE | Access.TRUNCATE, [OWN_PROCESS]),
    ]
    return Plan(common, _beyond(common, rules), denied)


def common_rules(level: Level, around: Surroundings, entries: Entries) -> Rules:
    """What every app may do at this level. The same for each process, so nothing about
    /proc/self."""
    beside: Rules
    if level == "strict":
        beside = [
            (RUN, open_paths(around.run, around, entries)),
            (READ, open_paths(around.read, around, entries)),
        ]
    else:
        beside = [(RUN, common_paths(around, entries))]
    return [
        *((access, _outermost(paths)) for access, paths in beside),
        (USE | Access.READ_DIR, [posixpath.join(_DEVICE_FOLDER, name) for name in _DEVICES]),
        (WRITE, [_SHARED_MEMORY]),
    ]


def common_paths(around: Surroundings, entries: Entries) -> list[str]:
    """What every app may read at the level "standard"."""
    return open_paths(_ALL, around, entries)


def open_paths(roots: Iterable[str], around: Surroundings, entries: Entries) -> list[str]:
    """The part of `roots` that any app may read, as the outermost paths that contain nothing
    closed."""
    closed = around.closed
    return [
        path
        for root in roots
        if not any(is_within(root, folder) for folder in closed)
        for path in _inside(root, closed, entries)
    ]


def _inside(root: str, closed: Iterable[str], entries: Entries) -> Iterator[str]:
    """The outermost paths in `root` that contain nothing of `closed`; `root` itself if it is
    one."""
    below = [path for path in closed if is_within(path, root)]
    if root in below:
        return
    if not below:
        yield root
        return
    for path in entries(root, {_child(root, path) for path in below}):
        yield from _inside(path, below, entries)


def _child(root: str, path: str) -> str:
    """The child of `root` on the way to a path: `"/srv", "/srv/apps/shop"` -> `"/srv/apps"`."""
    start = root.rstrip("/") + "/"
    return start + path[len(start) :].partition("/")[0]


def _believed(app: AppPaths, around: Surroundings) -> Iterator[str]:
    """The paths that an app reports, if they are its own or not closed."""
    own = (app.folder, *app.versions, *app.kept, *app.python)
    for path in app.told:
        is_own = any(is_within(path, folder) for folder in own)
        if is_own or not any(is_within(path, folder) for folder in around.closed):
            yield path


def _given(path: str, app: AppPaths, around: Surroundings, entries: Entries) -> Iterator[str]:
    """The part of a path in `write` that is allowed: neither another app's nor a secret."""
    others = () if is_within(path, app.folder) else around.apps
    closed = (*others, *around.secrets)
    if any(is_within(path, folder) for folder in app.kept):
        yield path
    elif not any(is_within(path, folder) for folder in closed):
        is_of_devices = is_within(path, _DEVICE_FOLDER)
        yield from _inside(path, closed if is_of_devices else (*closed, _DEVICE_FOLDER), entries)


def _outermost(paths: Iterable[str]) -> list[str]:
    """Drop paths inside another one, because an app could replace such a path by a link.

    In the order of their names, path by path, as "/a-b" is less than "/a/c": all that is inside a
    folder comes right behind it.
    """
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not kept or not is_within(path, kept[-1]):
            kept.append(path)
    return kept


def _beyond(common: Rules, rules: Rules) -> Rules:
    """The outermost paths of each rule that no common rule with as much access covers."""
    found: Rules = []
    for access, paths in rules:
        held = {path for other, held in common if access & ~other == 0 for path in held}
        inner = (path for path in paths if held.isdisjoint(_ways(path)))
        found.append((access, _outermost(inner)))
    return found


def _ways(path: str) -> Iterator[str]:
    """A path and the folders that contain it, the innermost first."""
    while path != "/" and path:
        yield path
        path = posixpath.dirname(path)
    yield "/"
