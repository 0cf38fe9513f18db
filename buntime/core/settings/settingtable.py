"""The table of settings. Variables, flags, `--help`, the docs and the test of the docs all use it.

A plain default is written as a user would write it, and read the same way.
"""

import os.path
from collections.abc import Callable

from buntime.core.settings.endpoint import parse_host, parse_listen
from buntime.core.settings.otelsettings import TRACING
from buntime.core.settings.requestsettings import ACCESS, REQUESTS
from buntime.core.settings.setting import (
    DURATION,
    DURATION_OR_0,
    FOLDERS,
    NUMBER_FROM_0,
    NUMBER_FROM_1,
    PATH,
    SIZE,
    Kind,
    Setting,
    Situation,
    choice,
    number,
    parse_app,
    parse_app_users,
    parse_cgroup,
    parse_program,
    parse_shell,
    plain,
    unset,
)
from buntime.core.values.kinds import size

_POOL_SIZES = {"development": "10", "staging": "50", "production": "500", "test": "5"}


def _state_dir(situation: Situation) -> str:
    if state_home := situation.environ.get("XDG_STATE_HOME"):
        return os.path.join(state_home, "buntime")
    if situation.is_root or not situation.home:
        return "/var/lib/buntime"
    return os.path.join(situation.home, ".local/state/buntime")


def _in_development(then: str, otherwise: str) -> Callable[[Situation], str]:
    return lambda situation: then if situation.env == "development" else otherwise


# Comes first, because other defaults depend on it.
ENV = Setting(
    "env",
    "RUNTIME_ENV",
    "--env",
    choice("development", "staging", "production", "test"),
    "development from a checkout, else production",
    "what this runtime is for; workers see it as `NODE_ENV`, which also sets it",
    derive=lambda situation: "development" if situation.mode == "checkout" else "production",
    also="NODE_ENV",
)

_SERVING = (
    ENV,
    Setting(
        "env_file",
        "RUNTIME_ENV_FILE",
        "--env-file",
        PATH,
        ".env",
        "file with settings, read again at SIGHUP",
    ),
    Setting(
        "host",
        "HOST",
        "--host",
        Kind("ADDRESS", parse_host),
        "127.0.0.1 in development, else 0.0.0.0",
        "address to listen on, or `unix:/path` for a unix socket",
        derive=_in_development("127.0.0.1", "0.0.0.0"),
    ),
    Setting(
        "port", "PORT", "--port", number(0, 65535), "8000", "port to listen on; 0 takes a free one"
    ),
    Setting(
        "listen",
        "RUNTIME_LISTEN",
        "--listen",
        Kind("ADDRESSES", parse_listen),
        "HOST and PORT",
        "where to listen instead: `ADDRESS:PORT`, `[IPV6]:PORT`, `unix:/path`; separated by commas",
        derive=lambda _: "",
        repeats=True,
    ),
    Setting(
        "worker_dirs",
        "RUNTIME_WORKER_DIRS",
        "DIR...",
        FOLDERS,
        "required, here or as arguments",
        "folders that hold the apps, separated by colons; of two equal apps the first wins",
        derive=lambda _: "",
        live=True,
    ),
    Setting(
        "default_app",
        "RUNTIME_DEFAULT_APP",
        "--default-app",
        Kind("APP", parse_app),
        "none",
        "app that answers `/` and paths that name no app, on hosts of no app; `shop`, `shop@^1`",
        derive=unset,
        live=True,
    ),
    Setting(
        "shell",
        "RUNTIME_SHELL",
        "--shell",
        Kind("NAME", parse_shell),
        "cpanel",
        "the plugin or app that browsers get around pages with menus; `none`: pages by themselves",
        live=True,
    ),
    Setting(
        "plugin_dirs",
        "RUNTIME_PLUGIN_DIRS",
        "--plugin-dirs",
        FOLDERS,
        "./plugins",
        "folders that hold the plugins, separated by colons",
        live=True,
    ),
    Setting(
        "config",
        "RUNTIME_CONFIG",
        "--config",
        PATH,
        "./buntime.config.yaml, if it exists",
        "the config file, for plugins, apps and access; read again at SIGHUP",
        derive=unset,
        live=True,
    ),
    Setting(
        "state",
        "RUNTIME_STATE",
        "--state",
        choice("folder", "none"),
        "folder",
        "whether anything is kept; `none` for one of several replicas: what they would each keep "
        "for themselves is refused",
    ),
    Setting(
        "state_dir",
        "RUNTIME_STATE_DIR",
        "--state-dir",
        PATH,
        "$XDG_STATE_HOME/buntime, else ~/.local/state/buntime, for root /var/lib/buntime",
        "where the runtime keeps what must outlive it: keys, its database",
        derive=_state_dir,
    ),
    Setting(
        "secrets_dir",
        "RUNTIME_SECRETS_DIR",
        "--secrets-dir",
        PATH,
        "none",
        "folder with secrets of apps, `APP/NAME` or `APP.NAME`, as Kubernetes and systemd "
        "provide them; read again each 10 s",
        derive=unset,
        live=True,
    ),
    Setting(
        "deploy_dir",
        "RUNTIME_DEPLOY_DIR",
        "--deploy-dir",
        PATH,
        "the first worker folder that can be written",
        "worker folder that deploys go into",
        derive=unset,
        live=True,
    ),
    Setting(
        "upload_max_bytes",
        "RUNTIME_UPLOAD_MAX",
        "--upload-max",
        SIZE,
        "500mb",
        "largest archive that is accepted; unpacked it may be four times as large",
        live=True,
    ),
    Setting(
        "shutdown_timeout_s",
        "RUNTIME_SHUTDOWN_TIMEOUT",
        "--shutdown-timeout",
        DURATION_OR_0,
        "30s",
        "on SIGTERM or SIGINT, how long requests in hand may take to end",
        live=True,
    ),
    Setting(
        "stall_timeout_s",
        "RUNTIME_STALL_TIMEOUT",
        "--stall-timeout",
        DURATION_OR_0,
        "30s",
        "how long the runtime may do one thing and serve nobody before it ends, 0 for ever",
    ),
)

_WORKERS = (
    Setting(
        "python",
        "RUNTIME_PYTHON",
        "--python",
        Kind("PROGRAM", parse_program),
        "the one that runs Buntime",
        "Python for apps that have neither a `python` key nor a `.venv`, 3.9 or newer",
        derive=unset,
    ),
    Setting(
        "app_users",
        "RUNTIME_APP_USERS",
        "--app-users",
        Kind("APP=USER", parse_app_users),
        "none",
        "users of apps, whatever their manifests say, if the runtime is root; `*` is any app",
        derive=lambda _: "",
        repeats=True,
    ),
    Setting(
        "cgroup",
        "RUNTIME_CGROUP",
        "--cgroup",
        Kind("auto|off|DIR", parse_cgroup),
        "auto",
        "folder of cgroup v2 for the limits of apps; auto: what systemd delegates",
    ),
    Setting(
        "pool_size",
        "RUNTIME_POOL_SIZE",
        "--pool-size",
        NUMBER_FROM_1,
        "10 in development, 50 in staging, 500 in production, 5 in test",
        "most workers of all persistent apps together; the one idle longest makes room",
        derive=lambda situation: _POOL_SIZES[situation.env],
        live=True,
    ),
    Setting(
        "ephemeral_concurrency",
        "RUNTIME_EPHEMERAL_CONCURRENCY",
        "--ephemeral-concurrency",
        NUMBER_FROM_1,
        "2 x cores",
        "most workers of apps with `ttl: 0` at a time",
        derive=lambda situation: str(2 * situation.cores),
        live=True,
    ),
    Setting(
        "cron_concurrency",
        "RUNTIME_CRON_CONCURRENCY",
        "--cron-concurrency",
        NUMBER_FROM_0,
        "0",
        "most jobs of apps (`cron`) at a time; 0: half of `RUNTIME_EPHEMERAL_CONCURRENCY`, a "
        "quarter of `RUNTIME_POOL_SIZE` at most",
        live=True,
    ),
    Setting(
        "ephemeral_queue_limit",
        "RUNTIME_EPHEMERAL_QUEUE_LIMIT",
        "--ephemeral-queue-limit",
        number(0),
        "100",
        "requests that may wait for such a worker; more get 503 with `Retry-After`",
        live=True,
    ),
    Setting(
        "spare_workers",
        "RUNTIME_SPARE_WORKERS",
        "--spare-workers",
        number(0),
        "2",
        "started interpreters kept ready for the next worker of any app",
        live=True,
    ),
    Setting(
        "boot_timeout_s",
        "RUNTIME_BOOT_TIMEOUT",
        "--boot-timeout",
        DURATION,
        "30s",
        "how long an app may take to load in a worker",
        live=True,
    ),
)

_LOGS = (
    Setting(
        "log_level",
        "RUNTIME_LOG_LEVEL",
        "--log-level",
        choice("debug", "info", "warn", "error"),
        "debug in development, else info",
        "lowest level that is logged",
        derive=_in_development("debug", "info"),
        live=True,
    ),
    Setting(
        "log_format",
        "RUNTIME_LOG_FORMAT",
        "--log-format",
        choice("pretty", "json"),
        "pretty in development, else json",
        "lines for people, or one JSON object a line",
        derive=_in_development("pretty", "json"),
    ),
    Setting(
        "log_file",
        "RUNTIME_LOG_FILE",
        "--log-file",
        PATH,
        "none",
        "file that gets the log too",
        derive=unset,
    ),
    Setting(
        "log_file_size_bytes",
        "RUNTIME_LOG_FILE_SIZE",
        "--log-file-size",
        plain("SIZE", size(4 << 10)),
        "50mb",
        "size at which the log file is put aside and a new one begun",
    ),
    Setting(
        "log_file_count",
        "RUNTIME_LOG_FILE_COUNT",
        "--log-file-count",
        NUMBER_FROM_1,
        "5",
        "older log files that are kept",
    ),
    Setting(
        "app_log_size_bytes",
        "RUNTIME_APP_LOG_SIZE",
        "--app-log-size",
        plain("SIZE", size(4 << 10)),
        "50mb",
        "most that is kept of one app's log, in files in the state folder",
    ),
    Setting(
        "app_log_age_s",
        "RUNTIME_APP_LOG_AGE",
        "--app-log-age",
        DURATION,
        "14d",
        "how long lines are kept there",
    ),
    Setting(
        "app_logs_size_bytes",
        "RUNTIME_APP_LOGS_SIZE",
        "--app-logs-size",
        plain("SIZE", size(4 << 10)),
        "1gb",
        "most that is kept there of all apps together; what is oldest goes first",
    ),
)

GROUPS = (
    ("Serving", _SERVING),
    ("Workers", _WORKERS),
    ("Requests", REQUESTS),
    ("Access", ACCESS),
    ("Logs", _LOGS),
    ("Tracing", TRACING),
)
SETTINGS: tuple[Setting, ...] = tuple(setting for _, group in GROUPS for setting in group)
