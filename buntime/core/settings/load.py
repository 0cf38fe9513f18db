"""The runtime's settings as values: what was given, checked, or else the defaults.

A value comes from a flag, else from the environment, else from `.env`, else it is the default. An
empty variable counts as not set, and hides the one in `.env`.
"""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Literal

from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from buntime.core.settings.setting import Mode, Setting, Situation
from buntime.core.settings.settingtable import ENV, SETTINGS
from buntime.core.values.frozen import frozen
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.units import BadValue, format_size

__all__ = ["SETTINGS", "Setting", "Settings", "fitted", "load_settings", "reloaded"]

Environment = Literal["development", "staging", "production", "test"]
LogLevel = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["pretty", "json"]


@frozen(kw_only=True)
class Settings:
    """The operator's decisions. Folders are absolute."""

    env: Environment
    env_file: str
    host: str | UnixEndpoint
    port: int
    listen: tuple[Endpoint, ...]
    worker_dirs: tuple[str, ...]
    default_app: str | None
    shell: str | None
    plugin_dirs: tuple[str, ...]
    config: str | None
    state: Literal["folder", "none"]
    state_dir: str
    secrets_dir: str | None
    deploy_dir: str | None
    upload_max_bytes: int
    python: str | None
    app_users: Mapping[str, str]
    cgroup: str
    pool_size: int
    ephemeral_concurrency: int
    cron_concurrency: int
    ephemeral_queue_limit: int
    spare_workers: int
    boot_timeout_s: float
    shutdown_timeout_s: float
    stall_timeout_s: float
    body_size_default_bytes: int
    body_size_max_bytes: int
    request_line_max_bytes: int
    headers_max_bytes: int
    header_fields_max: int
    head_timeout_s: float
    body_timeout_s: float
    send_timeout_s: float
    keepalive_timeout_s: float
    websocket_ping_s: float
    websocket_message_max_bytes: int
    spool_max_bytes: int
    connections_max: int
    connections_per_address: int
    master_key: str | None = field(repr=False)
    master_key_file: str | None
    keys_file: str | None
    api_prefix: str
    admin_listen: Endpoint | None
    admin_host: str | None
    metrics: Literal["operators", "public"]
    trusted_proxies: tuple[str, ...]
    log_level: LogLevel
    log_format: LogFormat
    log_file: str | None
    log_file_size_bytes: int
    log_file_count: int
    app_log_size_bytes: int
    app_log_age_s: float
    app_logs_size_bytes: int
    otlp_endpoint: str | None
    otlp_headers: tuple[tuple[str, str], ...] = field(repr=False)
    otlp_protocol: str
    otlp_timeout_ms: int
    otel_service_name: str | None
    otel_resource: tuple[tuple[str, str], ...]
    otel_traces: str
    otel_logs: str
    otel_sampler: str
    otel_sampler_share: float
    # Where each value comes from, see `_Sources.origin`.
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    # Sentences about variables that look like settings and are not, see `strangers`.
    strangers: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def is_development(self) -> bool:
        """Whether clients see errors, and changed files are served at once."""
        return self.env == "development"

    @property
    def has_state(self) -> bool:
        """Whether anything is stored; one of several replicas stores nothing."""
        return self.state != "none"

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where to listen: as `listen` says, else at `host` and `port`."""
        if self.listen:
            return self.listen
        host = self.host
        return (host if isinstance(host, UnixEndpoint) else TcpEndpoint(host, self.port),)

    @property
    def endpoints_setting(self) -> str:
        """The setting that names them."""
        return "RUNTIME_LISTEN" if self.listen else "PORT"

    @property
    def cron_most(self) -> int:
        """How many jobs run at a time."""
        most = min(self.ephemeral_concurrency // 2, self.pool_size // 4)
        return self.cron_concurrency or max(1, most)

    @property
    def service_name(self) -> str:
        """What traces and the collector's log call this runtime."""
        return self.otel_service_name or dict(self.otel_resource).get("service.name", "buntime")


def load_settings(  # noqa: PLR0913  # by name only, each of its own meaning
    *,
    args: Mapping[str, str | None],
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    mode: Mode,
    cores: int,
    cwd: str = "",
    is_root: bool = False,
    needs_apps: bool = True,
    dotenv_name: str = ".env",
) -> Settings:
    """The settings for a start of the runtime.

    `args` has the flags by field name, None for those not given. Folders are relative to `cwd`.
    Raises UsageError that names the variable, where it came from, and what is allowed. Without
    `needs_apps` there need not be a folder of apps. `dotenv_name` is the name of the file behind
    `dotenv`.
    """
    sources = _Sources(args, environ, dotenv, dotenv_name)
    situation = Situation(mode, cores, cwd, is_root, environ)
    situation = situation._replace(env=_read(ENV, sources, situation))
    settings = Settings(
        **{row.field: _read(row, sources, situation) for row in SETTINGS},
        origins={row.field: sources.origin(row) for row in SETTINGS},
    )
    _check(settings, needs_apps)
    return settings


def fitted(wanted: Settings, settings: Settings) -> Settings:
    """These settings, with origins that say which values differ from what was asked for."""
    less = [
        row.field for row in SETTINGS if getattr(wanted, row.field) != getattr(settings, row.field)
    ]
    origins = {
        name: f"{wanted.origins.get(name, '')}, as far as this machine allows" for name in less
    }
    return replace(settings, origins={**wanted.origins, **origins})


def reloaded(old: Settings, new: Settings) -> tuple[Settings, list[str], list[str]]:
    """The settings to continue with after `new` was read: live settings take their new values.

    Also returns the variables that have changed, and those that need a restart.
    """
    differing = [row for row in SETTINGS if getattr(old, row.field) != getattr(new, row.field)]
    changed = [row for row in differing if row.live]
    settings = replace(old, **{row.field: getattr(new, row.field) for row in changed})
    kept = {row.field: old.origins.get(row.field, "") for row in differing if not row.live}
    settings = replace(settings, origins={**new.origins, **kept})
    late = [row.variable for row in differing if not row.live]
    return settings, [row.variable for row in changed], late


class _Sources(NamedTuple):
    args: Mapping[str, str | None]
    environ: Mapping[str, str]
    dotenv: Mapping[str, str]
    dotenv_name: str

    def find(self, setting: Setting) -> tuple[str, str] | None:
        """The text given for a setting, and where it comes from."""
        flag = self.args.get(setting.field)
        if flag is not None:
            return flag, f"{setting.variable} (from {setting.flag})"
        variable = self.variable_of(setting)
        if variable is None:
            return None
        origin = "the environment" if variable in self.environ else self.dotenv_name
        return self._text(variable), f"{variable} (from {origin})"

    def variable_of(self, setting: Setting) -> str | None:
        """Which of a setting's variables is set, in the environment or in `.env`."""
        if self._text(setting.variable).strip():
            return setting.variable
        return setting.also if setting.also and self._text(setting.also).strip() else None

    def origin(self, setting: Setting) -> str:
        """Where a setting's value comes from: "flag --port", "env PORT", "PORT in .env",
        "default"."""
        if self.args.get(setting.field) is not None:
            return f"flag {setting.flag}"
        variable = self.variable_of(setting)
        if variable is None:
            return "default"
        return (
            f"env {variable}" if variable in self.environ else f"{variable} in {self.dotenv_name}"
        )

    def _text(self, variable: str) -> str:
        return self.environ.get(variable, self.dotenv.get(variable, ""))


def _read(setting: Setting, sources: _Sources, situation: Situation) -> Any:
    given = sources.find(setting)
    if given is None:
        default = setting.derive(situation) if setting.derive else setting.default
        return None if default is None else setting.kind.parse(default, situation)
    text, origin = given
    try:
        return setting.kind.parse(text if setting.secret else text.strip(), situation)
    except BadValue as exc:
        raise UsageError(f"{origin}: {exc}") from exc


def _check(settings: Settings, needs_apps: bool) -> None:
    """Check what no single value shows."""
    if needs_apps and not settings.worker_dirs:
        raise UsageError(
            "no folders of apps: name them (buntime DIR...), or set RUNTIME_WORKER_DIRS=DIR:DIR"
        )
    default, most = settings.body_size_default_bytes, settings.body_size_max_bytes
    if default > most:
        raise UsageError(
            f"RUNTIME_BODY_SIZE_DEFAULT {format_size(default)} is larger than "
            f"RUNTIME_BODY_SIZE_MAX {format_size(most)}; lower the first or raise the second"
        )
