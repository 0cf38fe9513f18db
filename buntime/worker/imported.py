"""Which files of the app's folder are its modules: a change of one is a changed app."""

from __future__ import annotations

import sys

MOST = 4096  # files; if an app has more, others are recognised by their names
_LONGEST = 1024  # characters of a path


def imported_below(folder: str) -> list[str]:
    """`["app.py", "lib/shop.py"]`: what has been imported from there, relative to it.

    Whatever an app has put among the modules, nothing in it is called.
    """
    files: dict[str, None] = {}
    for module in list(sys.modules.values()):
        try:
            path = object.__getattribute__(module, "__dict__").get("__file__")
        except Exception:  # noqa: BLE001  # no module, but what an app has put there
            continue
        if type(path) is str and path.startswith(folder + "/"):
            path = path[len(folder) + 1 :]
            if 0 < len(path) <= _LONGEST and len(files) < MOST:
                files[path] = None
    return list(files)
