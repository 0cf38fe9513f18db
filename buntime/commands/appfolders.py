"""Checks the folders of apps that a start names: they exist, and contain apps."""

import os
from collections.abc import Sequence
from pathlib import Path

from buntime.commands.cli import COMMANDS
from buntime.commands.program import pasted
from buntime.core.apps.document import DocumentError, read_document
from buntime.core.apps.manifest import SIZE_MAX_BYTES
from buntime.core.errors import ManifestError, UsageError
from buntime.core.plugins.manifestkeys import DEFAULT_ENTRY
from buntime.core.values.wording import nearest
from buntime.server.apps.appfolder import holds_app, list_folders, read_manifest, resolve_folder


def check_folders(folders: Sequence[str], command: str) -> None:
    """Raises UsageError if one cannot be read, or is itself an app. `command` is the one that was
    given the folders."""
    for folder in folders:
        try:
            os.scandir(folder).close()
        except OSError as exc:
            raise UsageError(
                f"the folder of apps {folder} cannot be read: {exc.strerror}; name another one as "
                f"DIR or in RUNTIME_WORKER_DIRS{_advice(folder)}"
            ) from exc
        if holds_app(Path(folder)) and not _holds_apps(Path(folder)):
            above = os.path.normpath(os.path.join(folder, os.pardir))
            if is_plugin(Path(folder)):
                raise UsageError(
                    f"{folder} is a plugin, not a folder of apps; name the folder that it is in, "
                    f"{above}, in RUNTIME_PLUGIN_DIRS, or check it: "
                    f"{pasted('plugins', 'check', above)}"
                )
            words = () if command == "serve" else (command,)
            raise UsageError(
                f"{folder} is an app itself, not a folder of apps; name the folder that it is "
                f"in, {above}, as DIR or in RUNTIME_WORKER_DIRS: {pasted(*words, above)}"
            )


def is_plugin(folder: Path) -> bool:
    """Whether it looks like a plugin: its manifest has a name, which no app's has, and the folder
    has a plugin's code or base."""
    try:
        _, text, _ = read_manifest(folder, resolve_folder(folder))
        keys = read_document(text or b"", size_max_bytes=SIZE_MAX_BYTES).keys()
    except (OSError, ManifestError, DocumentError):
        return False
    return "name" in keys and ("base" in keys or (folder / DEFAULT_ENTRY).is_file())


def _advice(folder: str) -> str:
    """What may have been meant by a folder that does not exist: a command, or a first app."""
    if os.path.exists(folder):
        return ""
    meant = nearest(os.path.basename(folder), COMMANDS)
    if meant is not None:
        return f"; or did you mean the command {pasted(meant)}?"
    return f"; or write a first app there: {pasted('new', os.path.join(folder, 'hello'))}"


def _holds_apps(folder: Path, depth: int = 2) -> bool:
    """Whether it contains apps, versions of one, or apps of a scope."""
    try:
        inner = [folder / name for name in list_folders(folder)[0]]
    except OSError:
        return False
    return any(holds_app(each) or (depth > 1 and _holds_apps(each, depth - 1)) for each in inner)
