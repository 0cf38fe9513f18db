"""Recognizes that an app was refused a file or a port, by what it prints.

Frameworks answer the errors of handlers themselves: what comes out of the worker is a trace on
stderr, and its last line is the exception.

    PermissionError: [Errno 13] Permission denied: '/apps/shop/uploads/a.png'
    sqlite3.OperationalError: attempt to write a readonly database
"""

_OF_FILES = (
    "PermissionError: [Errno 13] Permission denied: ",
    "OSError: [Errno 30] Read-only file system: ",
)
_OF_SQLITE = ("unable to open database file", "attempt to write a readonly database")
_OF_PORTS = "PermissionError: [Errno 13] Permission denied"
_NO_FILE = (
    "the app may not use that file or folder; with `data: true` in buntime.yaml it has a folder of "
    "its own, APP_DATA_DIR, which all versions share, and `write` names others"
)
_NO_PORT = "in a sandbox an app cannot listen on a port; Buntime listens, and serves the app"


def advice_on(line: str) -> str:
    """What to do about the refusal that a line of an app's stderr is about; "" for other lines."""
    if line.startswith(_OF_FILES) or line.endswith(_OF_SQLITE):
        return _NO_FILE
    return _NO_PORT if line == _OF_PORTS else ""
