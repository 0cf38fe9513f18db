"""`buntime check DIR...`: load every app once, as it would be served, and report what is wrong.

For the CI of app authors: exit code 0, or 1 if an app is at fault or there is none. Results go to
stdout, the output of loading apps and warnings of the runtime to stderr. Apps are loaded side by
side; the lines are in their order, and each is followed by the output of that app.

The runtime's state is not touched: an app with `data: true` gets an empty folder, which is removed
when the check is over. Secrets are read from where the runtime keeps them, to report which an app
lacks.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from buntime.commands import advice
from buntime.commands.appfolders import is_plugin
from buntime.commands.arguments import Command, Parser, folders_meaning
from buntime.commands.masterkey import take_environ
from buntime.commands.pluginfolders import find_plugins
from buntime.commands.program import pasted
from buntime.commands.start import read_settings
from buntime.commands.tables import print_json
from buntime.core.apps.app import App, Fault
from buntime.core.config.configfile import ConfigFile
from buntime.core.config.effect import mistyped_apps
from buntime.core.errors import UsageError
from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.order import provider_names
from buntime.core.settings.load import Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import OUTPUT, Level, Record, escape
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import counted, shown, suggestion
from buntime.server.defence.configreading import ConfigReader
from buntime.server.lifetime.announcing import without_effect
from buntime.server.lifetime.signals import signals_on
from buntime.server.pool.trial import Trial, Verdict, find_apps
from buntime.server.state.secretstore import Secrets, read_secrets
from buntime.server.telemetry.logs import QUEUE_RECORDS, Log, LogSink

_STDERR = 2
_EXIT_TERMINATED = 143  # as in shells: 128 + SIGTERM
_FLUSH_S = 2.0
_DOUBTFUL_SHOWN = 5
_APP_CHARS = 256 * 1024  # of what an app prints, and of the log about it
_RECORD_CHARS = 100  # that an empty line counts as
_CLOSED = (
    "auth: no plugin is enabled that signs people in, so all but publicRoutes is answered with 503"
)
# The results report the same.
_IN_VERDICTS = frozenset(
    ("app.boot_failed", "app.boot_timeout", "app.variables_missed", "worker.stacks")
)


class _Sorted(LogSink):
    """A sink that keeps the output of each app, to print it below its line."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__(Level.INFO, format="pretty", stream_fd=_STDERR)  # for what apps print
        self._held: dict[str, list[Record]] = {key: [] for key in keys}
        self._chars = dict.fromkeys(self._held, 0)
        self._lost = dict.fromkeys(self._held, 0)  # lines

    def put(self, record: Record, *, limit_records: int = QUEUE_RECORDS) -> None:
        if record.event in _IN_VERDICTS or (record.level < Level.WARN and record.event != OUTPUT):
            return
        name, version = record.fields.get("app"), record.fields.get("version")
        key = f"{name}@{version}" if version else f"{name}"
        if key not in self._held:
            super().put(record, limit_records=limit_records)
        elif self._chars[key] > _APP_CHARS:
            self._lost[key] += 1
        else:
            self._chars[key] += len(record.message) + _RECORD_CHARS
            self._held[key].append(record)

    def write_of(self, key: str, *, has_failed: bool) -> None:
        """Write the output of an app; what comes later is written at once.

        That a worker whose app did not load has ended needs no line: the result says why.
        """
        for record in self._held.pop(key, ()):
            if not (has_failed and record.event == "worker.died"):
                super().put(record)
        if lost := self._lost.get(key):
            Log(self).warn(
                "app.output_dropped",
                "app prints or reports more than is logged; some of it was dropped",
                lines=lost,
            )
        self.flush(_FLUSH_S)


def parser() -> Parser:
    made = Parser(
        "buntime check [DIR...] [--FLAG VALUE...]",
        "Check the apps in the folders DIR: their manifests, versions and entrypoints, and whether "
        "each can be loaded by a worker. Exit code 1 if one cannot.",
        examples=("buntime check apps",),
    )
    made.add_words("DIR", folders_meaning())
    made.add_argument("--json", action="store_true", help="print the result of each as JSON")
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    settings = replace(read_settings(command, mode, take_environ()), spare_workers=0)
    for each in (*settings.strangers, *without_effect(settings)):
        sys.stderr.write(f"WARNING: {escape(each)}\n")
    secrets, config = read_secrets(settings), ConfigReader().read(settings)
    plugins = _enabled(settings, config)
    with _state_of_its_own() as state:
        settings = replace(settings, state_dir=state)
        return _check(settings, secrets, config, plugins, as_json=bool(command.args["json"]))


def _enabled(settings: Settings, config: ConfigFile) -> list[PluginManifest]:
    """The manifests of the plugins that would be started."""
    # Reports faults of plugins' folders, which do not matter here.
    roster = find_plugins(settings, (), config, lambda *_, **__: None)
    manifests = (found.manifest for found in roster.enabled())
    return [each for each in manifests if each is not None]


@contextmanager
def _state_of_its_own() -> Iterator[str]:
    """A temporary state folder for the check."""
    try:
        made = tempfile.TemporaryDirectory(prefix="buntime-check-")
    except OSError as exc:
        raise UsageError(
            f"there is no folder for temporary files; set TMPDIR to one ({exc})"
        ) from exc
    with made as folder:
        os.chmod(folder, 0o711)  # users of apps pass through it to their own folders
        yield folder


def _check(
    settings: Settings,
    secrets: Secrets,
    config: ConfigFile,
    plugins: Sequence[PluginManifest],
    *,
    as_json: bool,
) -> int:
    sink = LogSink(Level.WARN, format="pretty", stream_fd=_STDERR)
    try:
        apps = find_apps(settings, Log(sink).warn, config.apps)
    finally:
        sink.close(_FLUSH_S)
    for each in mistyped_apps(config, {app.name for app in apps}):
        sys.stderr.write(f"WARNING: {escape(each)}\n")
    seen = {app.key: Seen(app, Doubts.of(app, plugins), settings.worker_dirs) for app in apps}
    if as_json:
        verdicts: list[Verdict] = []
        faults = _try(settings, apps, secrets, verdicts.append) if apps else 0
        apps_json = [to_json(each, seen[each.key]) for each in verdicts]
        print_json({"apps": apps_json, "faults": faults})
        return 1 if faults or not apps else 0
    if not apps:
        first = pasted("new", os.path.join(advice.near(settings.worker_dirs[0]), "hello"))
        sys.stdout.write(f"no apps in {', '.join(settings.worker_dirs)}\n    run: {first}\n")
        return 1
    faults = _try(settings, apps, secrets, lambda verdict: _print(verdict, seen[verdict.key]))
    count = counted(len(apps), "app")
    sys.stdout.write(f"{count}, {faults or 'none'} at fault\n")
    return 1 if faults else 0


@dataclass(frozen=True, slots=True)
class Doubts:
    """What an app needs from plugins that no plugin provides."""

    closed: bool = False  # nobody can sign in for it
    services: tuple[str, ...] = ()  # a sentence for each service that nobody offers

    @classmethod
    def of(cls, app: App | Fault, plugins: Sequence[PluginManifest]) -> "Doubts":
        """The missing ones of an app, given these plugins."""
        if isinstance(app, Fault):
            return cls()
        offered = provider_names(plugins)
        signs_in = any(each.stage == "identity" for each in plugins)
        return cls(
            closed=app.manifest.auth != "none" and not signs_in,
            services=tuple(
                "uses: no enabled plugin offers the service "
                f"{shown(service)}{suggestion(service, offered)}; calls to it fail"
                for service in app.manifest.uses
                if service not in offered
            ),
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """An app, and the context of its result."""

    app: App | Fault
    doubts: Doubts
    folders: tuple[str, ...]  # of apps


class Line(NamedTuple):
    """`mark` is "FAULT", "WARNING" or "NOTE"; `stack` is printed below `text`."""

    mark: str
    text: str
    command: str
    stack: str = ""


def _print(verdict: Verdict, seen: Seen) -> None:
    if not verdict.error:
        sys.stdout.write(f"{verdict.key}: ok ({_how(verdict)})\n")
    for line in lines_of(verdict, seen):
        sys.stdout.write(f"{verdict.key}: {line.mark}: {escape(line.text)}\n")
        stack = line.stack.split("\n") if line.stack else []
        sys.stdout.writelines(f"    {escape(each)}\n" for each in stack)
        if line.command:
            sys.stdout.write(f"    run: {escape(line.command)}\n")
    sys.stdout.flush()


def _try(
    settings: Settings,
    apps: Sequence[App | Fault],
    secrets: Secrets,
    show: Callable[[Verdict], None],
) -> int:
    """Load them, and report each result; returns how many are at fault."""
    sink = _Sorted(app.key for app in apps)
    faults: list[str] = []

    def tell(verdict: Verdict) -> None:
        show(verdict)
        sink.write_of(verdict.key, has_failed=bool(verdict.error))
        if verdict.error:
            faults.append(verdict.key)

    try:
        trial = Trial(settings, Log(sink), tell, secrets=secrets)
        calls = {
            signal.SIGINT: lambda: trial.interrupt(KeyboardInterrupt()),
            signal.SIGTERM: lambda: trial.interrupt(SystemExit(_EXIT_TERMINATED)),
        }
        with signals_on(trial.loop, calls):
            trial.run(apps)
    finally:
        sink.close(_FLUSH_S)
    return len(faults)


def to_json(verdict: Verdict, seen: Seen) -> dict[str, object]:
    """The result for one app, as `check --json` prints it. `command` is what to do next."""
    doubts = seen.doubts
    commands = [line.command for line in lines_of(verdict, seen) if line.command]
    error, _, stack = verdict.error.rstrip().partition("\n")
    files, doubtful = verdict.published or (None, ())
    return {
        "app": verdict.key,
        "ok": not verdict.error,
        "error": error or None,
        "stack": stack or None,
        "note": verdict.note or None,
        "command": commands[0] if commands else None,
        "python": verdict.python,
        "milliseconds": round(verdict.seconds * 1000) if verdict.python is not None else None,
        "files": files,
        "exposed": list(doubtful),
        "linksAway": list(verdict.links_away),
        "floors": list(verdict.floors),
        "services": list(doubts.services),
        "closed": _CLOSED if doubts.closed else None,
    }


def _how(verdict: Verdict) -> str:
    """`"Python 3.11.7, 84 ms"`, "static, publishes 3 files"."""
    if verdict.python is not None:
        return f"Python {verdict.python}, {verdict.seconds * 1000:.0f} ms"
    return f"static, publishes {counted((verdict.published or (0, ()))[0], 'file')}"


def lines_of(verdict: Verdict, seen: Seen) -> Iterator[Line]:
    """What is or may be wrong with an app, the worst first, each with a command to run next."""
    app, doubts = seen.app, seen.doubts
    if isinstance(app, Fault) and is_plugin(app.folder):
        above = advice.near(app.folder.parent)
        text = "it is a plugin, not an app: it belongs into a folder of RUNTIME_PLUGIN_DIRS"
        yield Line("FAULT", text, pasted("plugins", "check", above))
    elif verdict.error:
        error, _, stack = verdict.error.rstrip().partition("\n")
        yield Line("FAULT", error, advice.of_fault(app, verdict.error, seen.folders), stack)
        if verdict.note:
            yield Line("WARNING", verdict.note, "")
    elif isinstance(app, App) and verdict.python is None:
        yield from _of_site(verdict, app)
    if not verdict.error:
        for each in doubts.services:
            yield Line("WARNING", each, pasted("plugins", "list"))
    for each in verdict.floors:
        yield Line("NOTE", each, pasted("config", "show"))
    if doubts.closed:
        yield Line("NOTE", _CLOSED, pasted("plugins", "enable", "authn"))


def _of_site(verdict: Verdict, app: App) -> Iterator[Line]:
    _, doubtful = verdict.published or (0, ())
    for path in doubtful[:_DOUBTFUL_SHOWN]:
        text = f"anybody can read {path}; move it out of the site"
        yield Line("WARNING", text, advice.of_exposed(app.dir, path))
    if len(doubtful) > _DOUBTFUL_SHOWN:
        yield Line("WARNING", f"and {len(doubtful) - _DOUBTFUL_SHOWN} like these", "")
    for path in verdict.links_away[:1]:
        text = (
            f"the page asks for {path}, which is outside the app; build it with a relative base "
            "(Vite: base: './'), or give the app a host"
        )
        yield Line("WARNING", text, advice.of_link(app.dir, app.entrypoint, path))
