"""What a deploy does on the disk, in threads."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from buntime.core.deploys.names import Release
from buntime.core.deploys.preview import hash_of
from buntime.core.deploys.steps import Step
from buntime.core.errors import ServerFault
from buntime.server.defence.folderwalk import walk
from buntime.server.deploys.deploy import Deploy
from buntime.server.deploys.records import (
    ReleaseRecord,
    read_files,
    read_record,
    write_files,
    write_record,
)
from buntime.server.deploys.store import Store, Unfinished

if TYPE_CHECKING:
    from buntime.server.deploys.unpacking import Unpacked

_LEFT_MAX = 10
_OURS = frozenset((".venv.lock", ".venv"))  # these belong to the installer
_TOKENS_MAX = 5  # kept when a preview is deployed again, so that older links still open it


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Wish:
    """What a deploy should do beyond the usual steps."""

    url: str  # where the app will be
    url_of_version: str = ""  # where this version is, whichever is active
    replaces: bool = False
    if_changed: bool = False  # not if the active version has this content
    is_dry_run: bool = False
    token: str = ""  # opens a preview
    ttl_s: float = 0.0  # how long the preview lasts
    # Called when all earlier deploys are done; raises a ClientFault if something forbids this one.
    check: Callable[[], None] = _nothing


def look(store: Store, release: Release, wish: Wish) -> tuple[bool, bool]:
    """Whether the release already is this version, and is active. Raises ClientFault (409)."""
    if store.release_at(release.app, release.version) == release.folder:
        return True, store.active(release.app) == release.version
    replaces = wish.replaces or wish.ttl_s > 0
    store.check_free(release.app, release.version, replaces=replaces)
    return False, False


def reach_unchanged(deploy: Deploy, version: str, wish: Wish, *, is_active: bool) -> None:
    """This version has the content already, and nothing is done."""
    url = wish.url if is_active or not wish.url_of_version else wish.url_of_version
    deploy.reach(Step.UNCHANGED, version=version, active=is_active, url=url)


def prolong(store: Store, release: Release, wish: Wish) -> ReleaseRecord:
    """Extend a preview from now on, and let another token open it too."""
    folder = os.path.join(store.root, release.path)
    known = read_record(folder)
    if known is None:
        raise ServerFault(500, "storage_failed", f"{folder} has no record; remove the preview")
    tokens = _tokens(hash_of(wish.token), known)
    prolonged = replace(known, expires_s=time.time() + wish.ttl_s, token=tokens)
    write_record(folder, prolonged)
    return prolonged


def prepare(
    store: Store, unfinished: Unfinished, record: ReleaseRecord, unpacked: "Unpacked", wish: Wish
) -> ReleaseRecord:
    """Put it on the disk, so that links may be switched; returns its record."""
    # See `Carrier._unpack`.
    from buntime.server.deploys.unpacking import sync

    write_files(unfinished.folder, unpacked.files)
    sync(unfinished.folder)
    if wish.ttl_s:
        known = store.record_of(record.app, record.version)
        record = replace(record, token=_tokens(record.token, known))
    unfinished.prepare(record, replaces=wish.replaces or wish.ttl_s > 0)
    return record


def _tokens(token: str, known: ReleaseRecord | None) -> str:
    """The hashes of the tokens that open a preview from now on."""
    before = known.token.split() if known is not None else []
    return " ".join([token, *before][:_TOKENS_MAX])


def switch(unfinished: Unfinished) -> None:
    """Make the release the current one, for good."""
    unfinished.switch()
    unfinished.finish()


def left_behind(store: Store, app: str) -> list[str]:
    """Files in the active version's folder that were not in its archive: the app has written them
    there, and the next version will not have them. The first ones, by name."""
    active = store.active(app)
    folder = store.release_at(app, active) if active else None
    if folder is None:
        return []
    release = os.path.join(store.folder_of(app), folder)
    known, found = read_files(release), []
    for above, folders, files in walk(release):
        folders[:] = [each for each in folders if not each.startswith((".venv", "__pycache__"))]
        names = [os.path.relpath(os.path.join(above, each), release) for each in files]
        found += [each for each in names if each not in known and each not in _OURS]
        if len(found) > _LEFT_MAX:
            break
    return sorted(found)[:_LEFT_MAX]
