"""A state.db with a loop that a test turns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buntime.server.loop.loop import Loop
from buntime.server.state.statedb import StateDb
from buntime.server.state.statefolder import StateFolder


class Subject:
    """A StateDb in a folder, with its loop and what it reported."""

    def __init__(self, path: Path, *, retry_s: float = 60.0) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.folder = StateFolder(str(path))
        self.folder.take()
        self.told: list[tuple[str, dict[str, object]]] = []
        self.opened = 0
        self.db = StateDb(
            self.folder,
            self.loop,
            tell=self.tell,
            warn=self.tell,
            error=self.tell,
            retry_s=retry_s,
        )
        self.db.follow(self._count)

    def _count(self) -> None:
        self.opened += 1

    def tell(self, event: str, message: str, /, **fields: object) -> None:
        self.told.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.told]

    def ask(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """What `then` is called with."""
        results: list[Any] = []
        self.db.ask(work, results.append)
        while not results:
            self.loop.run_once(10)
        assert self.errors == []
        return results[0]

    def sql(self, sql: str, *values: object) -> Any:
        return self.ask(lambda connection: connection.execute(sql, values).fetchall())

    def close(self) -> None:
        self.db.close()
        for thread in threading.enumerate():
            if thread.name == "state-db":
                thread.join(10)
                assert not thread.is_alive()
        self.folder.let_go()
        self.loop.close()
