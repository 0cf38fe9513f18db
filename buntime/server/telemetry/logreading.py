"""Reads apps' logs, from memory and from files, in pages, without duplicates or gaps.

A page has all wanted lines up to some number. It is made app by app: the ring is read first; if it
lacks lines, these are read from the files, because everything that has left a ring is in a file.
Lines that come meanwhile have larger numbers than those that were there at the start, and are left
to the next page. All of this runs on a thread that may wait.
"""

import os
from collections.abc import Callable, Iterator

from buntime.core.telemetry.applines import LineFilter, seq_of, time_of
from buntime.core.telemetry.linepicks import Bounds, FirstLines, LastLines
from buntime.core.telemetry.lognames import parse_file
from buntime.core.values.tuples import NamedTuple
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.linefiles import read_backwards, read_forwards
from buntime.server.telemetry.logtail import LogTail


class Question(NamedTuple):
    """Whose lines to read, and which of them."""

    sees: Callable[[str], bool]
    filter: LineFilter
    app: str | None = None  # all that `sees` allows


class Page(NamedTuple):
    """Some lines; the next page is of what comes after `last`."""

    lines: list[bytes]
    last: int
    is_end: bool  # those were all
    is_followed: bool = False  # the tail gets lines after `last`


class LogReader:
    """Any number of threads may use it."""

    def __init__(self, app_logs: AppLogs) -> None:
        self._logs = app_logs

    def __repr__(self) -> str:
        return f"LogReader({self._logs!r})"

    def first(
        self, question: Question, after: int, bounds: Bounds, tail: LogTail | None = None
    ) -> Page:
        """The first lines with larger numbers than `after`.

        If there are no more lines than these, and none has come meanwhile, `tail` gets the next
        ones.
        """
        logs = self._logs
        upper, names = self._names(question)
        wants = question.filter.compiled()
        picked = FirstLines(bounds)
        for app in names:
            for line in self._forwards(app, after, question.filter.since):
                seq = seq_of(line)
                if seq > upper or not picked.wants(seq):
                    break
                if wants(line):
                    picked.put(seq, line)
        lines = picked.lines()
        if picked.has_more:
            return Page(lines, seq_of(lines[-1]), is_end=False)
        last = max(upper, after)
        if tail is None:
            return Page(lines, last, is_end=True)
        with logs.lock:
            is_followed = logs.last_seq <= last
            if is_followed:
                logs.followers.append(tail)
        return Page(lines, last, is_end=True, is_followed=is_followed)

    def last(self, question: Question, bounds: Bounds) -> Page:
        """The newest lines."""
        upper, names = self._names(question)
        wants, since = question.filter.compiled(), question.filter.since
        picked = LastLines(bounds)
        for app in names:
            for line in self._backwards(app):
                seq = seq_of(line)
                if seq > upper:
                    continue
                if time_of(line) < since or not picked.wants(seq):
                    break
                if wants(line):
                    picked.put(seq, line)
        return Page(picked.lines(), upper, is_end=True)

    def forget(self, tail: LogTail) -> None:
        """It gets no more lines."""
        with self._logs.lock:
            if tail in self._logs.followers:
                self._logs.followers.remove(tail)

    def _names(self, question: Question) -> tuple[int, list[str]]:
        """The number of the newest line, and the apps to look at."""
        logs = self._logs
        with logs.lock:
            upper, names = logs.last_seq, set(logs.rings.names())
        if question.app is not None:
            return upper, [question.app] if question.sees(question.app) else []
        if logs.folder is not None:
            try:
                files = os.listdir(logs.folder)
            except OSError:
                files = []
            parsed = filter(None, map(parse_file, files))
            names.update(app for app, _ in parsed if app is not None)
        return upper, [app for app in names if question.sees(app)]

    def _snapshot(self, app: str, after: int) -> tuple[list[bytes], int | None]:
        """The ring's lines after a number, and up to which number it lacks lines; None for all."""
        with self._logs.lock:
            ring = self._logs.rings.get(app)
            return (ring.after(after), ring.gone) if ring is not None else ([], None)

    def _forwards(self, app: str, after: int, since: bytes) -> Iterator[bytes]:
        lines, gone = self._snapshot(app, after)
        folder = self._logs.folder
        if folder is not None and (gone is None or gone > after):

            def is_before(line: bytes) -> bool:
                return seq_of(line) <= after or time_of(line) < since

            for line in read_forwards(folder, app, is_before):
                if gone is not None and seq_of(line) > gone:
                    break
                yield line
        yield from lines

    def _backwards(self, app: str) -> Iterator[bytes]:
        lines, gone = self._snapshot(app, 0)
        yield from reversed(lines)
        folder = self._logs.folder
        if folder is not None:
            for line in read_backwards(folder, app):
                if gone is None or seq_of(line) <= gone:
                    yield line
