"""Folders of apps that were looked at where they lie, before a link leads to them.

As soon as the link is there, what is found is the very app that was looked at, so that a worker
which has loaded it serves it.
"""

import os
from pathlib import Path

from buntime.server.apps.appfolder import AppFolder


class Expected:
    """Those of one catalog, by the paths where they will be."""

    def __init__(self) -> None:
        self._folders: dict[Path, AppFolder] = {}

    def put(self, path: Path, folder: AppFolder) -> None:
        """A link will stand at `path`."""
        self._folders[path] = folder

    def drop(self, path: Path) -> None:
        """No link will."""
        self._folders.pop(path, None)

    def arrived(self, path: Path) -> AppFolder | None:
        """The folder that was expected at `path`, where that leads to it now; told once."""
        folder = self._folders.get(path)
        if folder is None or os.path.realpath(path) != os.path.realpath(folder.at):
            return None
        del self._folders[path]
        folder.at = path
        return folder
