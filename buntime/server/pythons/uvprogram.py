"""Finds uv, which installs what its own lock files name; see `uv`."""

import os
import sys
from collections.abc import Mapping


def find_uv(environ: Mapping[str, str]) -> str | None:
    """The path of uv: on the PATH, else beside the Python that runs this."""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in (*folders, os.path.dirname(sys.executable)):
        path = os.path.join(folder, "uv")
        # A relative folder would mean something else inside the app's folder.
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None
