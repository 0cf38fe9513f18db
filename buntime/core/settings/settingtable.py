"""The table of settings. Variables, flags, `--help`, the docs and their test are made from it.

Where a value's default is plain, it is written as a user would write it, and read the same way.
"""

import os.path
from collections.abc import Callable

from buntime.core.settings.endpoint import parse_host, parse_listen
from buntime.core.settings.setting import (
    Kind,
    Setting,
    Situation,
    choice,
    number,
    parse_app_users,
    parse_folders,
    parse_networks,
    parse_path,
    parse_prefix,
    parse_program,
    parse_secret,
    plain,
)
from buntime.core.values.kinds import duration, size

_POOL_SIZES = {"development": "10", "staging": "50", "production": "500", "test": "5"}

# A request's head travels to a worker as one JSON line of at most 1 MiB, in which a byte can
# become six ("\u00ff"): both together must stay below a sixth of that.
_REQUEST_LINE_SIZE = size(256, 32 << 10)
_HEADERS_SIZE = size(1 << 10, 128 << 10)

_NUMBER_FROM_1 = number(1)
_DURATION = plain("DURATION", duration())
_DURATION_OR_0 = plain("DURATION", duration(may_be_zero=True))
_SIZE = plain("SIZE", size(1))
_PATH = Kind("PATH", parse_path)
_FOLDERS = Kind("DIR:DIR", parse_folders)


def _state_dir(situation: Situation) -> str:
    if state_home := situation.environ.get("XDG_STATE_HOME"):
        return os.path.join(state_home, "buntime")
    if situation.is_root or not situation.home:
        return "/var/lib/buntime"
    return os.path.join(situation.home, ".local/state/buntime")


def _in_development(then: str, otherwise: str) -> Callable[[Situation], str]:
    return lambda situation: then if situation.env == "development" else otherwise


def _none(_: Situation) -> None:
    """There is no such thing unless it is set."""


# First of all, since other defaults depend on it.
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
        _PATH,
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
        "where to listen instead: `ADDRESS:PORT`, `[IPV6]:PORT`, `unix:/path`; several with commas",
        derive=lambda _: "",
        repeats=True,
    ),
    Setting(
        "worker_dirs",
        "RUNTIME_WORKER_DIRS",
        "DIR...",
        _FOLDERS,
        "required, here or as arguments",
        "folders that hold the apps, separated by colons; of two equal apps the first wins",
        derive=lambda _: "",
        live=True,
    ),
    Setting(
        "plugin_dirs",
        "RUNTIME_PLUGIN_DIRS",
        "--plugin-dirs",
        _FOLDERS,
        "./plugins",
        "folders that hold the plugins, separated by colons",
    ),
    Setting(
        "state_dir",
        "RUNTIME_STATE_DIR",
        "--state-dir",
        _PATH,
        "$XDG_STATE_HOME/buntime, else ~/.local/state/buntime, for root /var/lib/buntime",
        "where the runtime keeps what must outlive it: keys, its database",
        derive=_state_dir,
    ),
    Setting(
        "shutdown_timeout_s",
        "RUNTIME_SHUTDOWN_TIMEOUT",
        "--shutdown-timeout",
        _DURATION_OR_0,
        "30s",
        "on SIGTERM or SIGINT, how long requests in hand may take to end",
        live=True,
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
        derive=_none,
    ),
    Setting(
        "app_users",
        "RUNTIME_APP_USERS",
        "--app-users",
        Kind("APP=USER", parse_app_users),
        "none",
        "users of apps, whatever their manifests say, where the runtime is root; `*` is any app",
        derive=lambda _: "",
        repeats=True,
    ),
    Setting(
        "pool_size",
        "RUNTIME_POOL_SIZE",
        "--pool-size",
        _NUMBER_FROM_1,
        "10 in development, 50 in staging, 500 in production, 5 in test",
        "most workers of all persistent apps together; the one idle longest makes room",
        derive=lambda situation: _POOL_SIZES[situation.env],
        live=True,
    ),
    Setting(
        "ephemeral_concurrency",
        "RUNTIME_EPHEMERAL_CONCURRENCY",
        "--ephemeral-concurrency",
        _NUMBER_FROM_1,
        "2 x cores",
        "most workers of apps with `ttl: 0` at a time",
        derive=lambda situation: str(2 * situation.cores),
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
        _DURATION,
        "30s",
        "how long an app may take to load in a worker",
        live=True,
    ),
)

_REQUESTS = (
    Setting(
        "body_size_default_bytes",
        "RUNTIME_BODY_SIZE_DEFAULT",
        "--body-size-default",
        _SIZE,
        "10mb",
        "largest request body of an app without `maxBodySize`; a larger one gets 413",
    ),
    Setting(
        "body_size_max_bytes",
        "RUNTIME_BODY_SIZE_MAX",
        "--body-size-max",
        _SIZE,
        "100mb",
        "largest `maxBodySize` that an app can have",
    ),
    Setting(
        "request_line_max_bytes",
        "RUNTIME_REQUEST_LINE_MAX",
        "--request-line-max",
        plain("SIZE", _REQUEST_LINE_SIZE),
        "8kb",
        "longest request line, at most 32kb; a longer one gets 414",
        live=True,
    ),
    Setting(
        "headers_max_bytes",
        "RUNTIME_HEADERS_MAX",
        "--headers-max",
        plain("SIZE", _HEADERS_SIZE),
        "64kb",
        "largest header section, at most 128kb; a larger one gets 431",
        live=True,
    ),
    Setting(
        "header_fields_max",
        "RUNTIME_HEADER_FIELDS_MAX",
        "--header-fields-max",
        number(1, 10_000),
        "100",
        "most header fields of a request; more get 431",
        live=True,
    ),
    Setting(
        "head_timeout_s",
        "RUNTIME_HEAD_TIMEOUT",
        "--head-timeout",
        _DURATION,
        "10s",
        "how long a request's head may take to arrive, then 408",
        live=True,
    ),
    Setting(
        "body_timeout_s",
        "RUNTIME_BODY_TIMEOUT",
        "--body-timeout",
        _DURATION,
        "30s",
        "how long a request's body may pause, then 408",
        live=True,
    ),
    Setting(
        "send_timeout_s",
        "RUNTIME_SEND_TIMEOUT",
        "--send-timeout",
        _DURATION,
        "30s",
        "how long a client may take nothing of its answer, then it is cut off",
        live=True,
    ),
    Setting(
        "keepalive_timeout_s",
        "RUNTIME_KEEPALIVE_TIMEOUT",
        "--keepalive-timeout",
        _DURATION,
        "75s",
        "how long a connection may stay idle between two requests",
        live=True,
    ),
    Setting(
        "websocket_ping_s",
        "RUNTIME_WEBSOCKET_PING",
        "--websocket-ping",
        _DURATION_OR_0,
        "20s",
        "how long a WebSocket may be silent before it is pinged, 0 for never; after two pings "
        "without an answer it is cut off",
    ),
    Setting(
        "websocket_message_max_bytes",
        "RUNTIME_WEBSOCKET_MESSAGE_MAX",
        "--websocket-message-max",
        _SIZE,
        "16mb",
        "largest message of a WebSocket's client; a larger one closes it with 1009",
        live=True,
    ),
    Setting(
        "connections_max",
        "RUNTIME_CONNECTIONS_MAX",
        "--connections-max",
        _NUMBER_FROM_1,
        "10000",
        "most connections at a time; the next ones wait until one closes",
        live=True,
    ),
)

_ACCESS = (
    Setting(
        "master_key",
        "RUNTIME_MASTER_KEY",
        None,
        plain("KEY", parse_secret),
        "none",
        "key that opens protected apps and the API; no flag, since anyone can list processes",
        derive=_none,
        secret=True,
        live=True,
    ),
    Setting(
        "master_key_file",
        "RUNTIME_MASTER_KEY_FILE",
        "--master-key-file",
        _PATH,
        "none",
        "file that holds the key instead, and nothing else",
        derive=_none,
        live=True,
    ),
    Setting(
        "api_prefix",
        "RUNTIME_API_PREFIX",
        "--api-prefix",
        Kind("PATH", parse_prefix),
        "none",
        "put before the runtime's own `/api`: `/_` makes it `/_/api`",
        derive=lambda _: "",
    ),
    Setting(
        "metrics",
        "RUNTIME_METRICS",
        "--metrics",
        choice("operators", "public"),
        "operators",
        "who may read `/metrics`: operators, as for `/api/workers`, or the public",
        live=True,
    ),
    Setting(
        "trusted_proxies",
        "RUNTIME_TRUSTED_PROXIES",
        "--trusted-proxies",
        Kind("ADDRESSES", parse_networks),
        "none",
        "proxies whose forwarding headers are believed: addresses, networks, `unix`, with commas",
        derive=lambda _: "",
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
        "least level that is logged",
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
        _PATH,
        "none",
        "file that gets the log too",
        derive=_none,
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
        _NUMBER_FROM_1,
        "5",
        "older log files that are kept",
    ),
)

GROUPS = (
    ("Serving", _SERVING),
    ("Workers", _WORKERS),
    ("Requests", _REQUESTS),
    ("Access", _ACCESS),
    ("Logs", _LOGS),
)
SETTINGS: tuple[Setting, ...] = tuple(setting for _, group in GROUPS for setting in group)
