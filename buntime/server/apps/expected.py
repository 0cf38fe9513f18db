"""App folders that were examined where they are, before a link to them is made.

Once the link is there, the catalog finds the very App that was examined, so that a worker that has
already loaded it serves it.
"""

import os
from pathlib import Path

from buntime.server.apps.appfolder import AppFolder


class Expected:
    """The expected folders of one catalog, by the paths where they will be."""

    def __init__(self) -> None:
        self._folders: dict[Path, AppFolder] = {}

    def put(self, path: Path, folder: AppFolder) -> None:
        """Expect `folder` at `path`, where a link to it will be made."""
        self._folders[path] = folder

    def drop(self, path: Path) -> None:
        """Expect nothing at `path`: no link will be made."""
        self._folders.pop(path, None)

    def arrived(self, path: Path) -> AppFolder | None:
        """The folder expected at `path`, once that path leads to it; returned only once."""
        folder = self._folders.get(path)
        if folder is None or os.path.realpath(path) != os.path.realpath(folder.at):
            return None
        del self._folders[path]
        folder.at = path
        return folder
