"""Environments that `autoInstall` made in caches, including versions that no longer exist.

    /var/cache/buntime/environments-33/shop@1.2.0-3f2a81c0/        the user's with the id 33
    /var/cache/buntime/environments-33/shop@1.2.0-3f2a81c0/app     a link to the app's folder

All runtimes of a host share /var/cache/buntime. The link shows which environments a runtime that
does not know the app must keep.

Environments of the runtime's own user are in the folders of apps, and are deleted with these. Its
cache has those of apps whose folder it cannot write. For threads: waits for the disk. Files are
removed as their user, because that user can put links there.
"""

import os
from collections.abc import Mapping
from contextlib import suppress

from buntime.core.values.regex import regex
from buntime.core.values.tuples import NamedTuple
from buntime.server.bundle.cachefolder import SHARED, cache_folder, prepare_cache, remove_whole
from buntime.server.pythons.identity import Identity, run_as

_OF_USER = regex(r"environments-([0-9]{1,10})")
_LABEL = regex(r"(.+)-[0-9a-f]{8}")
_APP = "app"


class Environments(NamedTuple):
    """The environments of one version of an app."""

    path: str
    key: str  # of the app: "shop@1.2.0", "@acme/shop", "plugin:audit"
    uid: int
    gid: int
    has_app: bool  # whether the folder of the app is there, as far as the link says


def all_environments(environ: Mapping[str, str] = os.environ) -> list[Environments]:
    """The environments of all users, in the folders that may contain some."""
    roots = dict.fromkeys(filter(None, (SHARED, cache_folder(environ))))
    return [each for root in roots for each in environments_in(root)]


def own_folder(environ: Mapping[str, str]) -> str | None:
    """The folder for those of the runtime's own user, made where it is missing; None where there is
    no cache, or none that is safe. Raises OSError."""
    root = cache_folder(environ)
    if root is None:
        return None
    folder = os.path.join(root, f"environments-{os.geteuid()}")
    return None if prepare_cache(folder) else folder


def environments_in(root: str) -> list[Environments]:
    """The environments of apps below this folder, which has a subfolder for each user."""
    found = []
    for name in _listed(root):
        match, place = _OF_USER.fullmatch(name), os.path.join(root, name)
        if match is None or os.path.islink(place):
            continue
        with suppress(OSError):
            gid = os.lstat(place).st_gid
            for label in _listed(place):
                parts = _LABEL.fullmatch(label)
                if parts is not None and not os.path.islink(os.path.join(place, label)):
                    path, key = os.path.join(place, label), key_of(parts[1])
                    found.append(Environments(path, key, int(match[1]), gid, _has_app(path)))
    return found


def link_app(home: str, app_dir: str) -> None:
    """Note in the folder of an app's environments whose they are. Raises OSError."""
    with suppress(FileExistsError):
        os.symlink(app_dir, os.path.join(home, _APP))


def _has_app(home: str) -> bool:
    try:
        return os.path.isdir(os.readlink(os.path.join(home, _APP)))
    except OSError:  # there is none, or a file that its user made
        return False


def label_of(key: str) -> str:
    """An app's key as a name of a folder: "plugin:audit" -> "plugin=audit".

    A colon separates paths in variables, so no environment can be made below a name with one.
    """
    return key.replace("/", "+").replace(":", "=")


def key_of(label: str) -> str:
    """Whose environment it is, by the name of its folder: the inverse of `label_of`."""
    return label.replace("+", "/").replace("=", ":")


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def remove(each: Environments) -> None:
    """Raises OSError, CannotBecome."""
    run_as(_identity_of(each), lambda: remove_whole(each.path))


def _identity_of(each: Environments) -> Identity | None:
    """Its user; None where that is this process's own."""
    if each.uid == os.geteuid():
        return None
    return Identity(f"{each.uid}:{each.gid}", each.uid, each.gid, (), "/")
