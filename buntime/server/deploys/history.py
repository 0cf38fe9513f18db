"""The latest deploys: those of this runtime as they go on, and earlier ones from state.db."""

import json
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from buntime.server.deploys.deploy import Deploy, Line
from buntime.server.state.statedb import StateDb

if TYPE_CHECKING:
    from sqlite3 import Connection

KEPT = 50


class History:
    """Knows deploys by number; without state.db, only its own. Used on the loop's thread."""

    def __init__(self, db: StateDb) -> None:
        self._db = db
        self._deploys: OrderedDict[str, Deploy] = OrderedDict()
        self._earlier: list[Line] = []  # newest first
        db.follow(lambda: db.ask(_read, self._known))

    def __repr__(self) -> str:
        return f"History({len(self._deploys)} deploys, {len(self._earlier)} earlier)"

    def add(self, deploy: Deploy) -> None:
        """List the deploy from now on, and store it when it has ended."""
        self._deploys[deploy.id] = deploy
        while len(self._deploys) > KEPT:
            self._deploys.popitem(last=False)
        deploy.follow(lambda _: self._keep(deploy) if deploy.is_over else None)

    def latest(self) -> list[Line]:
        """The latest ones, newest first."""
        own = [each.to_json() for each in reversed(self._deploys.values())]
        return [*own, *(each for each in self._earlier if each["id"] not in self._deploys)][:KEPT]

    def _keep(self, deploy: Deploy) -> None:
        if deploy.is_dry_run:  # it changes nothing, so it is not stored either
            return
        text = json.dumps(deploy.to_json())
        self._db.ask(lambda connection: _write(connection, deploy.id, text), lambda _: None)

    def _known(self, result: list[Line] | BaseException) -> None:
        # Otherwise the log has already said what is wrong with the file.
        if isinstance(result, list):
            self._earlier = result


def _read(connection: "Connection") -> list[Line]:
    rows = connection.execute("SELECT told FROM deploys ORDER BY at DESC LIMIT ?", (KEPT,))
    return [json.loads(text) for (text,) in rows]


def _write(connection: "Connection", number: str, text: str) -> None:
    connection.execute("REPLACE INTO deploys VALUES (?, ?, ?)", (number, time.time(), text))
    connection.execute(
        "DELETE FROM deploys WHERE id NOT IN (SELECT id FROM deploys ORDER BY at DESC LIMIT ?)",
        (KEPT,),
    )
