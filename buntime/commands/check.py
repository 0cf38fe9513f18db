"""`buntime check DIR...`: load every app once, as it would be served, and tell what is wrong.

For the CI of who writes apps: exit code 0, or 1 where an app is at fault or none is there. The
verdicts go to stdout, what apps print while they load and warnings of the runtime to stderr.

Nothing of the runtime's state is touched: an app with `data: true` gets an empty folder, which goes
when the check is over.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from buntime.commands.arguments import Command, Parser, folders_meaning
from buntime.commands.masterkey import take_environ
from buntime.commands.start import read_settings
from buntime.core.errors import UsageError
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import Level, escape
from buntime.server.pool.trial import Trial, Verdict, find_apps
from buntime.server.telemetry.logs import Log, LogSink

_STDERR = 2
_FLUSH_S = 2.0
_DOUBTFUL_SHOWN = 5


class _Quiet(Log):
    """A log without the errors of apps, which the verdicts tell."""

    def child(self, /, **fields: object) -> Log:
        return _Quiet(self._sink, self._fields | fields)

    def error(self, event: str, message: str, /, **fields: object) -> None:
        if "stack" not in fields:
            super().error(event, message, **fields)


def parser() -> Parser:
    made = Parser(
        "buntime check [DIR...] [--FLAG VALUE...]",
        "Check the apps in the folders DIR: their manifests, versions and entrypoints, and whether "
        "each can be loaded by a worker. Exit code 1 if one cannot.",
    )
    made.add_words("DIR", folders_meaning())
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    settings = replace(read_settings(command, mode, take_environ()), spare_workers=0)
    with _state_of_its_own() as state:
        return _check(replace(settings, state_dir=state))


@contextmanager
def _state_of_its_own() -> Iterator[str]:
    """A state folder for the time of the check."""
    try:
        made = tempfile.TemporaryDirectory(prefix="buntime-check-")
    except OSError as exc:
        raise UsageError(
            f"there is no folder for temporary files; set TMPDIR to one ({exc})"
        ) from exc
    with made as folder:
        os.chmod(folder, 0o711)  # users of apps pass through it to theirs
        yield folder


def _check(settings: Settings) -> int:
    sink = LogSink(Level.WARN, format="pretty", stream_fd=_STDERR)
    log = _Quiet(sink)
    faults: list[str] = []

    def tell(verdict: Verdict) -> None:
        sink.flush(_FLUSH_S)  # so that what an app printed stands before its verdict
        sys.stdout.write(line_of(verdict))
        sys.stdout.flush()
        if verdict.error:
            faults.append(verdict.key)

    try:
        apps = find_apps(settings, log.warn)
        Trial(settings, log, tell).run(apps)
    finally:
        sink.close(_FLUSH_S)
    if not apps:
        sys.stdout.write(f"no apps in {', '.join(settings.worker_dirs)}\n")
        return 1
    count = "1 app" if len(apps) == 1 else f"{len(apps)} apps"
    sys.stdout.write(f"{count}, {len(faults) or 'none'} at fault\n")
    return 1 if faults else 0


def line_of(verdict: Verdict) -> str:
    """`hello@1.0.0: ok (Python 3.11.7, 84 ms)`; an error with its stack indented below."""
    if verdict.error:
        first, *rest = verdict.error.rstrip().split("\n")
        stack = "".join(f"    {escape(line)}\n" for line in rest)
        note = f"{verdict.key}: WARNING: {escape(verdict.note)}\n" if verdict.note else ""
        return f"{verdict.key}: FAULT: {escape(first)}\n{stack}{note}"
    if verdict.python is not None:
        how = f"Python {verdict.python}, {verdict.seconds * 1000:.0f} ms"
        return f"{verdict.key}: ok ({how})\n"
    files, doubtful = verdict.published or (0, ())
    told = [f"{verdict.key}: ok (static, publishes {files} {'file' if files == 1 else 'files'})\n"]
    told += [
        f"{verdict.key}: WARNING: everybody can read {escape(path)}; move it out of the site\n"
        for path in doubtful[:_DOUBTFUL_SHOWN]
    ]
    if len(doubtful) > _DOUBTFUL_SHOWN:
        told.append(f"{verdict.key}: WARNING: and {len(doubtful) - _DOUBTFUL_SHOWN} like these\n")
    if verdict.links_away:
        path = escape(verdict.links_away[0])
        told.append(
            f"{verdict.key}: WARNING: the page asks for {path}, which is outside of the app; "
            f"build it with a relative base (Vite: base: './'), or give it a host\n"
        )
    return "".join(told)
