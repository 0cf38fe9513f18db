"""The folders of apps that a start names: they are there, and hold apps."""

import os
from collections.abc import Sequence
from pathlib import Path

from buntime.core.errors import UsageError
from buntime.server.apps.appfolder import holds_app, list_folders


def check_folders(folders: Sequence[str]) -> None:
    """Raises UsageError where one cannot be read, or is an app itself."""
    for folder in folders:
        try:
            os.scandir(folder).close()
        except OSError as exc:
            raise UsageError(
                f"the folder of apps {folder} cannot be read: {exc.strerror}; name another one as "
                "DIR or in RUNTIME_WORKER_DIRS"
            ) from exc
        if holds_app(Path(folder)) and not _holds_apps(Path(folder)):
            above = os.path.normpath(os.path.join(folder, os.pardir))
            raise UsageError(
                f"{folder} is an app itself, and no folder of apps; name the folder that it is in, "
                f"{above}, as DIR or in RUNTIME_WORKER_DIRS"
            )


def _holds_apps(folder: Path, depth: int = 2) -> bool:
    """Whether there are apps in it, versions of one, or apps of a scope."""
    try:
        inner = [folder / name for name in list_folders(folder)[0]]
    except OSError:
        return False
    return any(holds_app(each) or (depth > 1 and _holds_apps(each, depth - 1)) for each in inner)
