"""The settings: defaults, where a value comes from, and what is refused."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from buntime.core.errors import UsageError
from buntime.core.settings.endpoint import Endpoint, TcpEndpoint, UnixEndpoint
from buntime.core.settings.load import (
    SETTINGS,
    Settings,
    fitted,
    load_settings,
    reloaded,
)
from buntime.core.settings.setting import Mode, Situation

KB, MB = 1 << 10, 1 << 20


def load(
    environ: Mapping[str, str] | None = None,
    *,
    args: Mapping[str, str | None] | None = None,
    dotenv: Mapping[str, str] | None = None,
    mode: Mode = "checkout",
    is_root: bool = False,
) -> Settings:
    """Settings with the folder /work/apps, unless something else is given."""
    return load_settings(
        args=args or {},
        environ={"RUNTIME_WORKER_DIRS": "apps", "HOME": "/home/me"} | dict(environ or {}),
        dotenv=dotenv or {},
        mode=mode,
        cores=4,
        cwd="/work",
        is_root=is_root,
    )


def fault(environ: Mapping[str, str]) -> str:
    with pytest.raises(UsageError) as caught:
        load(environ)
    return str(caught.value)


def test_the_defaults() -> None:
    """From a checkout the runtime is in development and reachable from this machine only."""
    assert load() == Settings(
        env="development",
        env_file="/work/.env",
        host="127.0.0.1",
        port=8000,
        listen=(),
        worker_dirs=("/work/apps",),
        default_app=None,
        shell="cpanel",
        plugin_dirs=("/work/plugins",),
        config=None,
        state="folder",
        state_dir="/home/me/.local/state/buntime",
        secrets_dir=None,
        deploy_dir=None,
        upload_max_bytes=500 * MB,
        python=None,
        app_users={},
        cgroup="auto",
        pool_size=10,
        ephemeral_concurrency=8,
        cron_concurrency=0,
        ephemeral_queue_limit=100,
        spare_workers=2,
        boot_timeout_s=30.0,
        shutdown_timeout_s=30.0,
        stall_timeout_s=30.0,
        body_size_default_bytes=10 * MB,
        body_size_max_bytes=100 * MB,
        request_line_max_bytes=8 * KB,
        headers_max_bytes=64 * KB,
        header_fields_max=100,
        head_timeout_s=10.0,
        body_timeout_s=30.0,
        send_timeout_s=30.0,
        keepalive_timeout_s=75.0,
        websocket_ping_s=20.0,
        websocket_message_max_bytes=16 * 1024 * 1024,
        spool_max_bytes=256 * MB,
        connections_max=10_000,
        connections_per_address=0,
        master_key=None,
        master_key_file=None,
        keys_file=None,
        api_prefix="",
        admin_listen=TcpEndpoint("127.0.0.1", 8001),
        admin_host=None,
        metrics="operators",
        trusted_proxies=(),
        log_level="debug",
        log_format="pretty",
        log_file=None,
        log_file_size_bytes=50 * MB,
        log_file_count=5,
        app_log_size_bytes=50 << 20,
        app_log_age_s=14 * 86400.0,
        app_logs_size_bytes=1 << 30,
        otlp_endpoint=None,
        otlp_headers=(),
        otlp_protocol="http/json",
        otlp_timeout_ms=10_000,
        otel_service_name=None,
        otel_resource=(),
        otel_traces="otlp",
        otel_logs="otlp",
        otel_sampler="parentbased_always_on",
        otel_sampler_share=1.0,
    )


@pytest.mark.parametrize("mode", ["pyz", "binary"])
def test_in_production(mode: Mode) -> None:
    """Run from the single file, the runtime is in production: open to the network, JSON logs."""
    settings = load(mode=mode)
    assert (settings.env, settings.is_development) == ("production", False)
    assert (settings.host, settings.log_level, settings.log_format) == ("0.0.0.0", "info", "json")


@pytest.mark.parametrize(
    ("env", "size"), [("development", 10), ("staging", 50), ("production", 500), ("test", 5)]
)
def test_pool_size(env: str, size: int) -> None:
    """Each environment has its own pool size."""
    settings = load({"RUNTIME_ENV": env})
    assert (settings.env, settings.pool_size) == (env, size)
    assert settings.is_development == (env == "development")


def test_every_field_is_a_setting() -> None:
    """The table covers the fields of Settings, each with a variable and a flag of its own."""
    assert sorted(setting.field for setting in SETTINGS) == sorted(
        {each.name for each in fields(Settings)}
        - {"origins", "strangers"}  # which describe the others
    )
    assert len({setting.variable for setting in SETTINGS}) == len(SETTINGS)
    flags = [setting.flag for setting in SETTINGS if not setting.secret]  # secrets have none
    assert len({*flags}) == len(flags)


def test_flags_are_called_like_variables() -> None:
    """A flag is its variable in lower case; folders of apps need none, secrets have none."""
    for setting in SETTINGS:
        word = setting.variable.removeprefix("RUNTIME_").lower().replace("_", "-")
        if setting.field == "worker_dirs":
            assert setting.flag == "DIR..."
        else:
            assert setting.flag == (None if setting.secret else f"--{word}")


EXAMPLES = {
    "HOST": "localhost",
    "RUNTIME_LISTEN": "127.0.0.1:80",
    "RUNTIME_WORKER_DIRS": "/a:/b",
    "RUNTIME_PLUGIN_DIRS": "/c",
    "RUNTIME_CONFIG": "/etc/buntime.config.yaml",
    "RUNTIME_ENV": "staging",
    "RUNTIME_STATE": "none",
    "RUNTIME_STATE_DIR": "/var/state",
    "RUNTIME_PYTHON": "python3.9",
    "RUNTIME_BODY_SIZE_MAX": "50mb",
    "RUNTIME_APP_USERS": "*=nobody",
    "RUNTIME_MASTER_KEY": "s3cret",
    "RUNTIME_MASTER_KEY_FILE": "/etc/key",
    "RUNTIME_API_PREFIX": "/_",
    "RUNTIME_ADMIN_LISTEN": "10.0.0.1:9001",
    "RUNTIME_ADMIN_HOST": "panel.example.com",
    "RUNTIME_METRICS": "public",
    "RUNTIME_TRUSTED_PROXIES": "10.0.0.1",
    "RUNTIME_LOG_LEVEL": "error",
    "RUNTIME_LOG_FORMAT": "json",
    "RUNTIME_LOG_FILE": "/var/log/buntime.log",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s%20cret",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_RESOURCE_ATTRIBUTES": "a=b,c=d",
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
    "OTEL_TRACES_SAMPLER": "traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.25",
}


def test_every_source() -> None:
    """A setting can come from a flag, a variable or `.env`, with the same meaning each time."""
    for setting in SETTINGS:
        text = EXAMPLES.get(setting.variable, "7kb" if setting.kind.word == "SIZE" else "7")
        situation = Situation("checkout", 4, "/work", False, {}, "test")
        expected = setting.kind.parse(text, situation)
        if setting.flag:
            assert getattr(load(args={setting.field: text}), setting.field) == expected
        assert getattr(load({setting.variable: text}), setting.field) == expected
        if setting.field != "worker_dirs":  # which `load` sets in the environment
            assert getattr(load(dotenv={setting.variable: text}), setting.field) == expected


def test_precedence() -> None:
    """A flag wins over the environment, and the environment over `.env`."""
    dotenv = {"PORT": "1", "RUNTIME_POOL_SIZE": "1", "RUNTIME_SPARE_WORKERS": "1"}
    environ = {"PORT": "2", "RUNTIME_POOL_SIZE": "2"}
    settings = load(environ, args={"port": "3", "pool_size": None}, dotenv=dotenv)
    assert (settings.port, settings.pool_size, settings.spare_workers) == (3, 2, 1)


def test_a_weaker_value_is_not_read() -> None:
    """An overridden value need not be valid."""
    assert load({"PORT": "x"}, args={"port": "1"}).port == 1
    assert load({"PORT": "1"}, dotenv={"PORT": "x"}).port == 1


def test_empty_is_not_set() -> None:
    """An empty variable gives the default, and hides the one in `.env`."""
    assert load({"PORT": " "}, dotenv={"PORT": "1"}).port == 8000
    assert load({"RUNTIME_MASTER_KEY": ""}, dotenv={"RUNTIME_MASTER_KEY": "k"}).master_key is None


def test_origins() -> None:
    """Each setting knows its origin: a flag, a variable, a line of the file, or none."""
    told = load_settings(
        args={"port": "1", "host": None},
        environ={"NODE_ENV": "test", "RUNTIME_POOL_SIZE": " ", "PORT": "2", "HOME": "/home/me"},
        dotenv={"RUNTIME_SPARE_WORKERS": "1", "RUNTIME_POOL_SIZE": "3", "HOST": "::1"},
        dotenv_name="/etc/b.env",
        mode="checkout",
        cores=2,
        needs_apps=False,
    ).origins
    assert (told["port"], told["env"]) == ("flag --port", "env NODE_ENV")
    assert told["spare_workers"] == "RUNTIME_SPARE_WORKERS in /etc/b.env"
    assert told["host"] == "HOST in /etc/b.env"
    assert told["pool_size"] == told["log_level"] == "default"
    assert told.keys() == {setting.field for setting in SETTINGS}


def test_origins_of_what_holds() -> None:
    """Origins say if the machine allows less; after SIGHUP they belong to the values that apply."""
    asked = load({"RUNTIME_CONNECTIONS_MAX": "5000", "RUNTIME_LOG_LEVEL": "warn"})
    told = fitted(asked, replace(asked, connections_max=100)).origins
    less = "env RUNTIME_CONNECTIONS_MAX, as far as this machine allows"
    assert (told["connections_max"], told["log_level"]) == (less, "env RUNTIME_LOG_LEVEL")
    new = load(dotenv={"RUNTIME_LOG_LEVEL": "warn", "RUNTIME_POOL_SIZE": "3"})
    now, _, late = reloaded(asked, new)
    assert now.origins["log_level"] == "RUNTIME_LOG_LEVEL in .env"
    for row in SETTINGS:
        if row.variable in late:
            assert now.origins[row.field] == asked.origins[row.field]


def test_node_env() -> None:
    """NODE_ENV sets the environment too, but RUNTIME_ENV wins, wherever it is set."""
    assert load({"NODE_ENV": "test"}).env == "test"
    assert load(dotenv={"NODE_ENV": "test"}).env == "test"
    assert load({"NODE_ENV": "test"}, dotenv={"RUNTIME_ENV": "staging"}).env == "staging"
    assert load({"NODE_ENV": "test", "RUNTIME_ENV": ""}).env == "test"
    assert fault({"NODE_ENV": "prod"}).startswith("NODE_ENV (from the environment): 'prod' is not")


@pytest.mark.parametrize("environ", [{"RUNTIME_WORKER_DIRS": ""}, {"RUNTIME_WORKER_DIRS": "::"}])
def test_no_worker_dirs(environ: dict[str, str]) -> None:
    """Without folders of apps there is nothing to do, so the error names both ways to set them."""
    assert fault(environ) == (
        "no folders of apps: name them (buntime DIR...), or set RUNTIME_WORKER_DIRS=DIR:DIR"
    )


def test_folders() -> None:
    """Folders are absolute and unique, and `~/` is the home folder."""
    settings = load({"RUNTIME_WORKER_DIRS": "apps:/srv//apps/:~/x:./apps::../y"})
    assert settings.worker_dirs == ("/work/apps", "/srv/apps", "/home/me/x", "/y")


@pytest.mark.parametrize(
    ("environ", "is_root", "folder"),
    [
        ({}, False, "/home/me/.local/state/buntime"),
        ({}, True, "/var/lib/buntime"),
        ({"HOME": ""}, False, "/var/lib/buntime"),
        ({"XDG_STATE_HOME": "/state"}, False, "/state/buntime"),
        ({"XDG_STATE_HOME": "/state"}, True, "/state/buntime"),
        ({"RUNTIME_STATE_DIR": "state"}, True, "/work/state"),
    ],
)
def test_state_dir(environ: dict[str, str], is_root: bool, folder: str) -> None:
    """The state folder is the one that was set, otherwise the platform's for this user."""
    assert load(environ, is_root=is_root).state_dir == folder


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1", TcpEndpoint("127.0.0.1", 8000)),
        ("::", TcpEndpoint("::", 8000)),
        ("[::1]", TcpEndpoint("::1", 8000)),
        ("fe80::1%eth0", TcpEndpoint("fe80::1%eth0", 8000)),
        ("my-host.example", TcpEndpoint("my-host.example", 8000)),
        ("unix:/run/b.sock", UnixEndpoint("/run/b.sock", 0o666)),
        ("unix:b.sock?mode=600", UnixEndpoint("/work/b.sock", 0o600)),
    ],
)
def test_host(text: str, endpoint: Endpoint) -> None:
    """The host is an address, a name, or a unix socket, which has no port."""
    assert load({"HOST": text}).endpoints == (endpoint,)


def test_listen() -> None:
    """RUNTIME_LISTEN names all endpoints; HOST and PORT are then ignored."""
    settings = load({"RUNTIME_LISTEN": "[::1]:80, unix:s", "HOST": "::", "PORT": "1"})
    assert settings.endpoints == (TcpEndpoint("::1", 80), UnixEndpoint("/work/s"))


def test_python() -> None:
    """The Python for workers is a name to look up, or a path."""
    assert load({"RUNTIME_PYTHON": "python3.9"}).python == "python3.9"
    assert load({"RUNTIME_PYTHON": "venv/bin/python"}).python == "/work/venv/bin/python"


def test_operators_address() -> None:
    """It is one endpoint, or none; a host must be a plain name."""
    assert load({"RUNTIME_ADMIN_LISTEN": "none"}).admin_listen is None
    assert load({"RUNTIME_ADMIN_LISTEN": "[::1]:9"}).admin_listen == TcpEndpoint("::1", 9)
    assert load({"RUNTIME_ADMIN_LISTEN": "unix:/run/a"}).admin_listen == UnixEndpoint("/run/a")
    assert load({"RUNTIME_ADMIN_HOST": "Panel.Example.com."}).admin_host == "panel.example.com"


def test_api_prefix() -> None:
    """The prefix of the API loses its trailing slash; a slash alone is no prefix."""
    assert load({"RUNTIME_API_PREFIX": "/_/"}).api_prefix == "/_"
    assert load({"RUNTIME_API_PREFIX": "/"}).api_prefix == ""


def test_trusted_proxies() -> None:
    """Proxies are addresses and networks, separated by commas or spaces, and are normalized."""
    settings = load({"RUNTIME_TRUSTED_PROXIES": "10.1.2.3/8, ::1,192.168.0.1 unix"})
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128", "192.168.0.1/32", "unix")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PORT", "http", "'http' is not allowed; write a whole number, from 0 to 65535"),
        ("PORT", "65536", "65536 is not allowed; write a whole number, from 0 to 65535"),
        ("PORT", "-1", "'-1' is not allowed; write a whole number, from 0 to 65535"),
        ("PORT", "٣", "'٣' is not allowed; write a whole number, from 0 to 65535"),
        ("PORT", "9" * 5000, "'9999"),
        ("HOST", "localhost:80", "'localhost:80' is not an address; write an IP address or"),
        ("HOST", "http://x", "'http://x' is not an address"),
        ("HOST", "unix:", "'unix:' names no path; write it like"),
        ("RUNTIME_LISTEN", "8000", "'8000' is neither an address with a port nor a socket; write"),
        ("RUNTIME_ENV", "prod", "'prod' is not one of development, staging, production or test"),
        ("RUNTIME_LOG_LEVEL", "wran", "'wran' is not one of debug, info, warn or error; did you m"),
        ("RUNTIME_LOG_FORMAT", "xml", "'xml' is not one of pretty or json"),
        ("RUNTIME_WORKER_DIRS", "~you/apps", "'~you/apps' is not a path; write it in full"),
        ("RUNTIME_POOL_SIZE", "0", "0 is not allowed; write a whole number, 1 or more"),
        ("RUNTIME_SPARE_WORKERS", "two", "'two' is not allowed; write a whole number, 0 or more"),
        ("RUNTIME_BOOT_TIMEOUT", "0", "'0' is too short; write more than 0s"),
        ("RUNTIME_BODY_SIZE_MAX", "1tb", "'1tb' is not a size; write bytes, or"),
        ("RUNTIME_REQUEST_LINE_MAX", "8", "'8' is too small; write 256b or more"),
        ("RUNTIME_HEADERS_MAX", "1mb", "'1mb' is too large; write 128kb or less"),
        ("RUNTIME_SHUTDOWN_TIMEOUT", "soon", "'soon' is not a duration; write seconds, or"),
        ("RUNTIME_ADMIN_LISTEN", "8001", "'8001' is neither an address with a port nor a socket"),
        ("RUNTIME_ADMIN_HOST", "a:80", "'a:80' is not a host; write its name alone"),
        ("RUNTIME_API_PREFIX", "api", "'api' is not the beginning of a path; write it like \"/_\""),
        ("RUNTIME_API_PREFIX", "/a/../b", "'/a/../b' is not the beginning of a path"),
        ("RUNTIME_TRUSTED_PROXIES", "::1, lo", "'lo' is not an IP address or network; write them"),
    ],
)
def test_faults(variable: str, text: str, message: str) -> None:
    """An error names the variable, its source, the value and what is allowed."""
    assert fault({variable: text}).startswith(f"{variable} (from the environment): {message}")


def test_where_a_faulty_value_came_from() -> None:
    """The error about a flag names the flag, and one about `.env` names that file."""
    with pytest.raises(UsageError, match=r"^PORT \(from --port\): ''"):
        load(args={"port": ""})
    with pytest.raises(UsageError, match=r"^PORT \(from \.env\): 'x'"):
        load(dotenv={"PORT": "x"})


def test_body_sizes_agree() -> None:
    """The default body size cannot be above the largest one."""
    assert fault({"RUNTIME_BODY_SIZE_DEFAULT": "1gb"}) == (
        "RUNTIME_BODY_SIZE_DEFAULT 1gb is larger than RUNTIME_BODY_SIZE_MAX 100mb; lower the first "
        "or raise the second"
    )


@pytest.mark.parametrize("key", ["s3cret ", "s3cret\n", "s3\tcret", "s3cret\udcff"])
def test_a_faulty_secret_is_not_shown(key: str) -> None:
    """The error about a key that no header can carry does not show the key."""
    message = fault({"RUNTIME_MASTER_KEY": key})
    assert message.startswith(
        "RUNTIME_MASTER_KEY (from the environment): the key begins or ends with a space"
    )
    assert "s3" not in message


def test_the_key_is_not_in_repr() -> None:
    """Settings can be logged, since their repr does not show the master key."""
    settings = load({"RUNTIME_MASTER_KEY": "s3cret"})
    assert settings.master_key == "s3cret"
    assert "s3cret" not in repr(settings)


def test_they_cannot_be_changed() -> None:
    """Settings are immutable."""
    with pytest.raises(FrozenInstanceError):
        load().port = 1  # type: ignore[misc]  # what is tested


@examples(deadline=None)
@given(st.dictionaries(st.sampled_from([s.variable for s in SETTINGS]), st.text(max_size=20)))
def test_any_values(environ: dict[str, str]) -> None:
    """Any values give settings or a UsageError, and nothing else."""
    try:
        settings = load(environ)
    except UsageError:
        return
    assert all(folder.startswith("/") for folder in settings.worker_dirs)
    assert settings.body_size_default_bytes <= settings.body_size_max_bytes
