"""Sets and gets a value of 100 bytes, with sqlite3 in a file of the app."""

import os
import sqlite3
from itertools import count
from threading import Lock

from buntime import Request, Response

VALUE = b"x" * 100
lock = Lock()
numbers = count()
kept = sqlite3.connect(
    f"{os.environ['APP_DATA_DIR']}/kept.db", isolation_level=None, check_same_thread=False
)
kept.execute("PRAGMA journal_mode = WAL")
kept.execute("PRAGMA synchronous = NORMAL")
kept.execute("CREATE TABLE IF NOT EXISTS kept (key INTEGER PRIMARY KEY, value BLOB)")


def fetch(_: Request) -> Response:
    key = next(numbers) % 1000
    with lock:
        kept.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, VALUE))
        (value,) = kept.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
    return Response(b"ok" if value == VALUE else b"lost")
