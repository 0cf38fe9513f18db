"""What operators see of apps' data, and the backup archive they take of it."""

import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from buntime.core.errors import ClientFault, StateFault
from buntime.core.sandbox.kernel import Kernel
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.api import Handler
from buntime.server.admin.audit import Audit
from buntime.server.admin.call import Call
from buntime.server.admin.streaming import Stream
from buntime.server.backup.source import Source, sizes_of
from buntime.server.loop.loop import Loop
from buntime.server.state.statedb import StateDb
from buntime.server.telemetry.logs import Log

_PIECE_BYTES = 128 * 1024
_COPY_S = 120.0  # for state.db; its thread may wait for a disk
_MEDIA = "application/gzip"
_AT_HOME = ("socket", "local")  # callers that are certainly on this machine


class _Left(Exception):
    """The client that wanted the archive has gone."""


class DataPages:
    """Serves these pages."""

    def __init__(
        self,
        loop: Loop,
        log: Log,
        live: LiveSettings,
        db: StateDb,
        audit: Audit,
        kernel: Kernel,
        most_of: Callable[[str, float], int | None] = lambda name, now: None,
    ) -> None:
        """`most_of` gives a folder's size limit by its name, and gets the loop's time."""
        self._loop = loop
        self._log = log
        self._live = live
        self._db = db
        self._audit = audit
        self._kernel = kernel
        self._most_of = most_of
        self._is_busy = False

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {"data.list": self._list, "data.backup": self._backup}

    def _list(self, call: Call) -> None:
        if self._db.is_off:
            call.answer({"data": [], "next": None})
            return
        source = self._source()

        def then(result: list[dict[str, Any]] | BaseException) -> None:
            if isinstance(result, OSError):
                raise StateFault(f"{result.filename}: {result.strerror}") from result
            if isinstance(result, BaseException):
                raise result
            by_name = {each["name"]: each for each in result}
            page, following = call.page(by_name)
            shown = [{**by_name[name], "maxBytes": self._most_of(name, call.now)} for name in page]
            call.answer({"data": shown, "next": following})

        self._loop.run_blocking(
            lambda: sizes_of(source), lambda result: call.guard(lambda: then(result))
        )

    def _backup(self, call: Call) -> None:
        """One at a time: each takes a thread and processes, and reads all the data."""
        if call.exchange.head.method == "HEAD":
            call.respond(200, [("content-type", _MEDIA)])
            return
        if call.query["secrets"] and call.caller.source not in _AT_HOME:
            raise ClientFault(
                403,
                "secrets_not_sent",
                "values of secrets are never sent over a network: take the backup on the host",
            )
        if self._is_busy:
            raise ClientFault(
                409, "backup_running", "a backup is under way; try again when it is done"
            )
        if self._db.trouble and call.query["only"] in (None, "state"):
            raise StateFault(self._db.trouble)
        # Imports tarfile, gzip and tempfile: 15 ms, which few starts need.
        from buntime.server.backup.writing import write_backup

        self._is_busy = True
        stream = call.stream(_MEDIA)
        sending = _Sending(self._loop, stream)
        source = self._source(call)
        self._loop.run_blocking(
            lambda: write_backup(source, sending.put),
            lambda result: self._done(call, sending, result),
        )

    def _done(self, call: Call, sending: "_Sending", result: Any) -> None:
        self._is_busy = False
        kind = call.query["only"] or "all"
        if isinstance(result, BaseException):
            sending.stream.cut()
            why = "the client left" if isinstance(result, _Left) else str(result)
            self._log.warn("data.backup_failed", "backup failed", only=kind, error=why)
            self._audit.record(call, call.route.name, kind, result="backup_failed")
            return
        sending.finish()
        summary = {"files": result.files, "sizeBytes": result.size_bytes}
        self._log.info("data.backed_up", "backup taken", only=kind, **summary)
        self._audit.record(call, call.route.name, kind, after=summary)

    def _source(self, call: Call | None = None) -> Source:
        settings, query = self._live.now, {} if call is None else call.query
        return Source(
            settings.state_dir,
            [folder for folder in settings.worker_dirs if os.path.isdir(folder)],
            [folder for folder in settings.plugin_dirs if os.path.isdir(folder)],
            self._kernel,
            self._copy_state,
            has_secrets=bool(query.get("secrets")),
            only=frozenset((query["only"],)) if query.get("only") else frozenset(),
        )

    def _copy_state(self, path: str) -> bool:
        """Copy state.db; on a thread that waits for the database's."""
        results: list[BaseException | None] = []
        is_done = threading.Event()

        def then(result: BaseException | None) -> None:
            results.append(result)
            is_done.set()

        self._loop.call_threadsafe(lambda: self._db.copy(path, then))
        if not is_done.wait(_COPY_S):
            raise StateFault(f"state.db could not be copied within {_COPY_S:.0f} s")
        if results[0] is not None:
            raise results[0]
        return True


class _Sending:
    """Makes a thread wait until the client has room."""

    def __init__(self, loop: Loop, stream: Stream) -> None:
        self.stream = stream
        self._loop = loop
        self._buffer = bytearray()
        self._room = threading.Event()
        self._room.set()
        stream.on_room = self._room.set
        stream.on_end = self._room.set

    def put(self, data: bytes) -> None:
        """On the thread. Raises _Left."""
        self._buffer += data
        if len(self._buffer) < _PIECE_BYTES:
            return
        self._room.wait()
        if self.stream.is_over:
            raise _Left
        self._room.clear()
        piece, self._buffer = bytes(self._buffer), bytearray()
        self._loop.call_threadsafe(partial(self._send, piece))

    def finish(self) -> None:
        """On the loop's thread, once the other thread is done."""
        self.stream.send(bytes(self._buffer))
        self.stream.finish()

    def _send(self, piece: bytes) -> None:
        if self.stream.send(piece) or self.stream.is_over:
            self._room.set()
