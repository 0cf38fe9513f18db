"""`buntime doctor`: what Buntime finds here, and what will cause trouble when it serves.

Exit code 0, or 1 if something keeps it from starting.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shlex import quote
from shutil import disk_usage

from buntime.commands.advice import (
    export,
    near,
    nearest_existing,
    of_fault,
    of_place,
    of_setting,
    to_hide,
    to_own,
    why_not_writable,
)
from buntime.commands.arguments import Command, Parser, folders_meaning
from buntime.commands.machine import Finding, Findings, find_here, warn_of_root
from buntime.commands.masterkey import take_environ, with_master_key
from buntime.commands.pluginfolders import find_plugins
from buntime.commands.program import pasted
from buntime.commands.start import read_settings
from buntime.commands.systemlimits import limits
from buntime.commands.tables import print_json
from buntime.core.admin.attention import of_disk
from buntime.core.admin.kept import INSTEAD
from buntime.core.apps.app import App, Fault
from buntime.core.apps.grants import holder_of
from buntime.core.config.configfile import NO_CONFIG, ConfigFile
from buntime.core.config.effect import mistyped_apps
from buntime.core.errors import ConfigError, StateOff, UsageError
from buntime.core.sandbox.groups import CONTROLLERS
from buntime.core.settings.endpoint import TcpEndpoint, UnixEndpoint
from buntime.core.settings.load import SETTINGS, Settings
from buntime.core.settings.setting import Mode
from buntime.core.telemetry.records import escape, format_fields
from buntime.core.values.wording import counted
from buntime.server.admin.localkey import NAME as LOCAL_KEY
from buntime.server.defence.configreading import ConfigReader
from buntime.server.defence.exposures import exposures
from buntime.server.deploys.opening import find_store
from buntime.server.http1.binding import open_bindings
from buntime.server.lifetime.announcing import without_effect
from buntime.server.plugins.roster import WORKERS_MOST, Roster
from buntime.server.pool.trial import find_apps
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.pythons.users import Users
from buntime.server.sandbox.groups import find_place
from buntime.server.state.secretstore import Secrets, read_secrets
from buntime.server.state.statefile import NAME as STATE_DB
from buntime.server.state.statefile import look_into
from buntime.server.state.statefolder import why_unusable

_LOOPBACK = ("127.", "::1", "localhost")
_NEW_KEY = 'export RUNTIME_MASTER_KEY="$(head -c 24 /dev/urandom | base64)"'


def parser() -> Parser:
    made = Parser(
        "buntime doctor [DIR...] [--FLAG VALUE...]",
        "Report what Buntime finds here (version, Python, settings, folders, limits) and what "
        "will cause trouble when it serves. Exit code 1 if something keeps it from starting.",
        examples=("buntime doctor /srv/apps",),
    )
    made.add_words("DIR", folders_meaning())
    made.add_argument("--json", action="store_true", help="print the findings as JSON")
    made.add_settings()
    return made


def run(command: Command, mode: Mode) -> int:
    environ = take_environ()
    findings = [*find_here(mode), *_with_settings(command, mode, environ)]
    marks = [finding.mark for finding in findings]
    faults, warnings = marks.count("fault"), marks.count("warning")
    if command.args["json"]:
        rows = [
            {
                "topic": each.topic,
                "text": each.text,
                "mark": each.mark or None,
                "command": each.command or None,
            }
            for each in findings
        ]
        print_json({"findings": rows, "faults": faults, "warnings": warnings})
        return 1 if faults else 0
    for finding in findings:
        mark = f"{finding.mark.upper()}: " if finding.mark else ""
        sys.stdout.write(f"{finding.topic:12}{mark}{escape(finding.text)}\n")
        if finding.command:
            sys.stdout.write(f"{'':12}run: {escape(finding.command)}\n")
    count = f"{counted(faults, 'fault')}, {counted(warnings, 'warning')}"
    sys.stdout.write(f"\n{count}\n")
    return 1 if faults else 0


def _with_settings(command: Command, mode: Mode, environ: Mapping[str, str]) -> Findings:
    try:
        settings = with_master_key(read_settings(command, mode, environ, needs_apps=False), environ)
        names_apps = command.words or environ.get("RUNTIME_WORKER_DIRS")
        chosen = read_settings(command, mode, environ) if names_apps else settings
        pythons = Interpreters(settings.python, users=Users(fixed=settings.app_users))
    except UsageError as exc:
        yield Finding("settings", str(exc), "fault", of_setting(str(exc)))
        return
    yield Finding("settings", ", ".join(_origins(command, settings, environ)) or "all are defaults")
    show = pasted("config", "show")
    yield from (Finding("settings", each, "warning", show) for each in settings.strangers)
    without = without_effect(settings)
    yield from (Finding("settings", each, "warning", show) for each in without)
    yield from warn_of_root(settings)
    yield Finding("environment", settings.env)
    yield Finding("app python", f"{pythons.default.executable} ({pythons.default.version})")
    config, findings = _config(settings)
    yield from findings
    yield from _places(settings)
    for message, fields in exposures(settings, os.geteuid()):
        yield Finding("access", f"{message}: {format_fields(fields)}", "warning", to_hide(fields))
    yield from _apps(chosen, config, pythons)
    if chosen.worker_dirs:
        yield from _deploys(chosen)
    roster, findings = _plugins(settings, config)
    yield from findings
    yield _groups(settings)
    if settings.has_state:
        yield from _of_state(settings.state_dir)
    for topic, folder in _folders(settings):
        reason = why_not_writable(Path(folder))
        if reason:
            yield Finding(topic, reason, "warning", to_own(folder))
        else:
            yield Finding(topic, folder)
    for limit in limits(settings, beside=WORKERS_MOST * len(roster.order.start)):
        yield Finding(*limit)


def _origins(command: Command, settings: Settings, environ: Mapping[str, str]) -> Iterable[str]:
    """Where settings come from, by name; values may be secrets."""
    for setting in SETTINGS:
        if command.args.get(setting.field) is not None:
            yield f"{setting.flag}"
        elif environ.get(setting.variable):
            yield setting.variable
    if os.path.isfile(settings.env_file):
        yield settings.env_file


def _config(settings: Settings) -> tuple[ConfigFile, list[Finding]]:
    try:
        config = ConfigReader().read(settings)
    except ConfigError as exc:
        command = of_place(str(exc)) or pasted("config", "check")
        return NO_CONFIG, [Finding("config file", str(exc), "fault", command)]
    return config, [Finding("config file", config.path)] if config.path else []


def _places(settings: Settings) -> Findings:
    is_open = False
    for endpoint in settings.endpoints:
        found = Finding("listens on", str(endpoint))
        if isinstance(endpoint, UnixEndpoint):
            folder = Path(endpoint.path).parent
            if reason := why_not_writable(folder):
                text, command = f"{endpoint}: {reason}", f"ls -ld {quote(near(folder))}"
                found = Finding("listens on", text, "fault", command)
        else:
            is_open = is_open or not endpoint.host.startswith(_LOOPBACK)
            if endpoint.port:
                found = _try_place("listens on", endpoint, settings.endpoints_setting)
        yield found
    if is_open and settings.is_development:
        text = "others can reach this, and in development errors are shown with their trace"
        yield Finding("listens on", text, "warning", export("RUNTIME_ENV", "production"))
    if isinstance(settings.admin_listen, TcpEndpoint) and settings.admin_listen.port:
        # Without it the runtime starts, and says so.
        yield _try_place("operators", settings.admin_listen, "RUNTIME_ADMIN_LISTEN", "warning")
    yield from _keys(settings, is_open=is_open)
    if not is_open and not settings.trusted_proxies and not settings.is_development:
        text = "only this machine can reach it; if a proxy does, name it in RUNTIME_TRUSTED_PROXIES"
        command = export("RUNTIME_TRUSTED_PROXIES", "127.0.0.1")
        yield Finding("access", text, "warning", command)


def _keys(settings: Settings, *, is_open: bool) -> Findings:
    """Who can open protected apps and the operator's pages."""
    is_development = settings.is_development
    if settings.master_key is not None or settings.keys_file is not None:
        return
    text = "RUNTIME_MASTER_KEY is not set: protected apps "
    state = os.path.join(settings.state_dir, STATE_DB)
    if settings.has_state and not is_development and os.path.exists(state):
        text += "and the operator's pages are open to the keys that buntime keys list shows"
        yield Finding("access", f"{text}, and to no others")
    elif is_open or not is_development:
        closed = f"pages need the key in {os.path.join(settings.state_dir, LOCAL_KEY)}"
        if not is_development:
            closed = "pages (/api/workers, /metrics) are closed"
        text += f"let nobody in, and the operator's {closed}"
        yield Finding("access", text, "warning", _NEW_KEY)


def _try_place(what: str, endpoint: TcpEndpoint, setting: str, otherwise: str = "fault") -> Finding:
    try:
        for binding in open_bindings([endpoint], setting=setting):
            binding.close()
    except UsageError as exc:
        if "listens there already" in str(exc):  # maybe the runtime in question
            command = f"ss -ltnp 'sport = :{endpoint.port}'"
            return Finding(what, str(exc), "warning", command)
        return Finding(what, str(exc), otherwise, "ip -brief address")
    return Finding(what, f"{endpoint}, which is free")


def _deploys(settings: Settings) -> Findings:
    if not settings.has_state:
        yield Finding("deploys", f"none: {INSTEAD['deploys.put']}")
        return
    store, trouble = find_store(settings.worker_dirs, settings.deploy_dir)
    if store is not None:
        yield Finding("deploys", f"into {store.root}")
        return
    folders = [*settings.worker_dirs, *filter(None, [settings.deploy_dir])]
    named = export("RUNTIME_WORKER_DIRS", ":".join(dict.fromkeys(folders)))
    look = f"ls -ld {' '.join(quote(near(each)) for each in settings.worker_dirs)}"
    yield Finding("deploys", trouble, "warning", named if settings.deploy_dir else look)


def _apps(settings: Settings, config: ConfigFile, pythons: Interpreters) -> Findings:
    if not settings.worker_dirs:
        text = "no folders are named: DIR... or RUNTIME_WORKER_DIRS"
        yield Finding("apps", text, "warning", pasted("new", "apps/hello"))
        return
    check = pasted("check", *map(near, settings.worker_dirs))
    warnings: list[Finding] = []

    def warn(_event: str, message: str, /, **fields: object) -> None:
        text = f"{message}: {format_fields(fields)}"
        warnings.append(Finding("apps", text, "warning", check))

    found = find_apps(settings, warn, config.apps)
    yield Finding("apps", f"{len(found)} in {', '.join(settings.worker_dirs)}")
    yield from warnings
    for each in mistyped_apps(config, {app.name for app in found}):
        yield Finding("config file", each, "warning", of_place(each))
    yield from _stateless(settings, found)
    try:
        secrets = read_secrets(settings)
    except UsageError as exc:
        yield Finding("secrets", str(exc), "warning", of_place(str(exc)) or check)
        secrets = Secrets()
    yield from _users(settings, [app for app in found if isinstance(app, App)], pythons)
    for app in found:
        if isinstance(app, Fault):
            command = of_fault(app, app.error, settings.worker_dirs)
            yield Finding("apps", f"{app.key}: {app.error}", "warning", command)
        elif not app.is_static and (why := pythons.missing(app)):
            command = of_fault(app, why, settings.worker_dirs)
            text = f"no worker of {app.key} can be started: {why}"
            yield Finding("apps", text, "warning", command)
        elif missing := secrets.missing(app):
            holder = holder_of(app.name, app.version)
            text = f"{app.key}: {secrets.not_set(holder, missing)}"
            yield Finding(
                "secrets", text, "warning", pasted("secrets", "set", holder, next(iter(missing)))
            )


def _users(settings: Settings, apps: Iterable[App], pythons: Interpreters) -> Findings:
    """What keeps users from running their apps, each reason once; only root can try it out."""
    if os.geteuid() != 0:
        return
    kept: dict[str, list[App]] = {}
    for app in apps:
        if not (app.is_static or pythons.missing(app)) and (why := pythons.out_of_reach(app)):
            kept.setdefault(why.removeprefix(f"{app.source}: "), []).append(app)
    for why, alike in kept.items():
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        command = of_fault(alike[0], why, settings.worker_dirs)
        text = f"no worker of {alike[0].key}{more} can be started: {why}"
        yield Finding("apps", text, "warning", command)


def _plugins(settings: Settings, config: ConfigFile) -> tuple[Roster, list[Finding]]:
    """The plugins that would be started, and why the others would not."""
    findings: list[Finding] = []
    check = pasted("plugins", "check", *map(near, settings.plugin_dirs))

    def warn(_event: str, message: str, /, **fields: object) -> None:
        text = f"{message}: {format_fields(fields)}"
        findings.append(Finding("plugins", text, "warning", check))

    roster = find_plugins(settings, (), config, warn)
    findings.append(Finding("plugins", ", ".join(roster.order.start) or "none"))
    wrong = {name: f"{name}: {each.error}" for name, each in roster.found.items() if each.error}
    wrong |= roster.order.left_out
    findings += [Finding("plugins", why, "warning", check) for why in wrong.values()]
    return roster, findings


def _groups(settings: Settings) -> Finding:
    """Whether limits of control groups apply, as far as can be seen from here."""
    place = find_place(settings.cgroup)
    if not place.controllers:
        text = f"memoryMax, cpuMax and pidsMax have no effect here: {place.reason}"
        return Finding("cgroup", text)
    lacking = [name for name in CONTROLLERS if name not in place.controllers]
    text = f"{place.folder}: {', '.join(place.controllers)}"
    return Finding("cgroup", text + f", but not {', '.join(lacking)}" * bool(lacking))


def _stateless(settings: Settings, found: Iterable[App | Fault]) -> Findings:
    """What is refused without state, and which apps need some of it."""
    if settings.has_state:
        return
    yield Finding("state", f"{StateOff.WHY}; keys and secrets come from files")
    if settings.keys_file is None and settings.master_key is None:
        text = "no key opens the API: set RUNTIME_KEYS_FILE or RUNTIME_MASTER_KEY_FILE"
        yield Finding("state", text, "warning", pasted("keys", "make", "--help"))
    for app in found:
        if not isinstance(app, App):
            continue
        if app.manifest.data:
            text = f"{app.key} has `data: true`, but no place for data: it does not load"
            yield Finding("state", text, "warning", "unset RUNTIME_STATE")
        if app.manifest.cron:
            jobs = ", ".join(job.name for job in app.manifest.cron)
            text = f"jobs of {app.key} run only when asked for, by a CronJob with a key: {jobs}"
            yield Finding("state", text)
        if app.manifest.processes:
            text = f"processes of {app.key} do not run: give them a runtime with state"
            yield Finding("state", text, "warning", "unset RUNTIME_STATE")


def _of_state(folder: str) -> Findings:
    """What is wrong with the state folder, its disk and state.db."""
    if why := why_unusable(folder):
        text = f"a runtime of this user would run without state: {why}"
        yield Finding("state", text, "warning", f"ls -ld {quote(near(folder))}")
    usage = disk_usage(nearest_existing(Path(folder)))
    if item := of_disk(folder, usage.free, usage.total):
        yield Finding("state", item.text, "warning", f"df -h {quote(near(folder))}")
    path = os.path.join(folder, STATE_DB)
    if why := look_into(path):
        yield Finding("state", why, "warning", f"ls -l {quote(near(path))}*")


def _folders(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.has_state:
        yield "state", settings.state_dir
    if settings.log_file:
        yield "log file", os.path.dirname(settings.log_file)
