"""Releases in a store, made without archives."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from buntime.core.apps.versions import is_version
from buntime.core.deploys.names import Release
from buntime.server.deploys.records import ReleaseRecord, write_files
from buntime.server.deploys.store import Store
from buntime.server.plugins.pluginstore import PluginStore


def release_of(app: str, version: str, content: str = "") -> Release:
    """A release; a different `content` gives a different digest."""
    return Release(app, version, sha256(content.encode()).hexdigest())


def deployed(
    store: Store,
    release: Release,
    *,
    replaces: bool = False,
    expires_s: float = 0.0,
    at: Callable[[str], None] = lambda _: None,
) -> None:
    """Deploy as real deploys do; `app.py` has the version, plus "b" if the release has content."""
    if not isinstance(store, PluginStore):
        store.check_free(release.app, release.version, replaces=replaces)
    with store.turn(release.app):
        unfinished = store.begin(release)
        try:
            os.mkdir(unfinished.folder)
            content = "" if release.digest == sha256().hexdigest() else "b"
            Path(unfinished.folder, "app.py").write_text(f"{release.version}{content}", "utf-8")
            write_files(unfinished.folder, ["app.py"])
            record = ReleaseRecord(
                release.app, release.version, release.digest, 1.0, active_s=1.0, expires_s=expires_s
            )
            unfinished.prepare(record, replaces=replaces)
            unfinished.switch()
        except Exception:
            unfinished.undo()
            raise
        unfinished.finish()


def seen(store: Store, app: str) -> dict[str, str]:
    """The content of `app.py` in each version of the app."""
    folder = Path(store.root, app)
    versions = [each.name for each in folder.iterdir() if is_version(each.name)]
    return {each: (folder / each / "app.py").read_text("utf-8") for each in versions}


def tree(root: str) -> set[str]:
    """All paths below a folder, links with their targets."""
    found = set()
    for path in Path(root).rglob("*"):
        leads = f" -> {os.readlink(path)}" if path.is_symlink() else ""
        found.add(f"{path.relative_to(root)}{leads}")
    return found
