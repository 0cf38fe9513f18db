"""The manifest: defaults, values, and what is refused."""

import json
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.apps.credentials import is_withheld
from buntime.core.apps.cronkeys import cron_jobs
from buntime.core.apps.document import read_document
from buntime.core.apps.manifest import (
    KEYS,
    SIZE_MAX_BYTES,
    Key,
    Manifest,
    default_manifest,
    parse_manifest,
    to_config,
)
from buntime.core.errors import ManifestError
from buntime.core.schedule.jobs import AppProcess

KB, MB = 1 << 10, 1 << 20
DEFAULT = default_manifest(10 * MB)


def parse(text: str | bytes) -> tuple[Manifest, tuple[str, ...]]:
    data = text.encode() if isinstance(text, str) else text
    return parse_manifest(data, path="shop/buntime.yaml", body_default=10 * MB, body_max=100 * MB)


def fault(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        parse(text)
    return str(caught.value)


def test_the_defaults() -> None:
    """Without a manifest an app gets a new worker for each request, and the usual limits."""
    expected = Manifest(
        entrypoint=None,
        timeout_s=30.0,
        ttl_s=0.0,
        idle_timeout_s=60.0,
        max_requests=1000,
        max_body_size_bytes=10 * MB,
        low_memory=False,
        auto_install=False,
        public_routes=(),
        visibility="public",
        auth="none",
        env={},
        secrets={},
        workers=1,
        concurrency=None,
        prewarm=0,
        keep=False,
        max_memory_bytes=None,
        max_address_space_bytes=None,
        max_file_size_bytes=None,
        max_processes=None,
        group_memory_bytes=None,
        group_processors=None,
        group_pids=None,
        python=None,
        path=(),
        nice=0,
        user=None,
        sandbox="standard",
        write=(),
        data=False,
        data_max_bytes=None,
        inject_base=None,
        strip_base=False,
        cookie_path="base",
        affinity="none",
        affinity_max_s=3600.0,
        hosts=(),
        uses=(),
        watch=(),
        spa=None,
        file_headers=(),
        mounts=(),
        in_shell=False,
        cron=(),
        processes=(),
        release=(),
        check=None,
        replace="beside",
        keep_versions=5,
    )
    assert default_manifest(10 * MB) == expected


@pytest.mark.parametrize("text", ["", "# nothing\n", "entrypoint:\nenv:\npublicRoutes: ~\n"])
def test_nothing_said(text: str) -> None:
    """An empty file, or an empty key whose default is none, changes nothing."""
    assert parse(text) == (DEFAULT, ())


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_default_written_out(key: Key) -> None:
    """A key's default, written into the file, changes nothing."""
    assert parse(yaml.safe_dump({key.name: key.default})) == (DEFAULT, ())


def test_every_field_has_a_key() -> None:
    """The table covers each field of a manifest once, and no key occurs twice."""
    of_operators = {"is_user_fixed", "floors"}
    names = {field.name for field in fields(Manifest)} - of_operators
    assert sorted(key.field for key in KEYS) == sorted(names)
    assert len({key.name for key in KEYS}) == len(KEYS)


def test_all_keys() -> None:
    """Each key sets its field."""
    manifest, warnings = parse("""
        entrypoint: ./src/main.py
        timeout: 45
        ttl: 1h
        idleTimeout: 10m
        maxRequests: 50
        maxBodySize: 64kb
        lowMemory: true
        autoInstall: true
        publicRoutes: [/login, /assets/**]
        visibility: protected
        auth: required
        env: {MODE: fast, VERSION: 1.10, DEBUG: true}
        secrets: {DATABASE_URL: , STRIPE_KEY: {env: false}}
        workers: 4
        concurrency: 8
        prewarm: 2
        keep: true
        maxMemory: 256mb
        maxAddressSpace: 2gb
        maxFileSize: 1gb
        maxProcesses: 64
        memoryMax: 512mb
        cpuMax: 150%
        pidsMax: 200
        python: python3.9
        path: [src, src]
        nice: 5
        user: 1000:1000
        sandbox: strict
        write: [uploads/, /srv/shared, uploads]
        dataMax: 1gb
        data: true
        injectBase: false
        stripBase: true
        cookiePath: as-is
        affinity: cookie
        affinityMax: 2h
        uses: [kv, mail, kv]
        watch: [rates.json, "!uploads/**", rates.json]
        spa: false
        headers: {"/**": {X-Number: 1.10}}
        static: {/static: staticfiles/}
        shell: true
        hosts: [Shop.example.com, "*.example.com"]
        cron: [{schedule: "0 3 * * *", path: /clean}]
        processes: {worker: celery -A tasks worker}
        release: python manage.py migrate
        check: /healthz?deep=1
        replace: after
        keepVersions: 9
    """)
    assert warnings == ()
    assert manifest == Manifest(
        entrypoint="src/main.py",
        timeout_s=45.0,
        ttl_s=3600.0,
        idle_timeout_s=600.0,
        max_requests=50,
        max_body_size_bytes=64 * KB,
        low_memory=True,
        auto_install=True,
        public_routes=(("ALL", "/login"), ("ALL", "/assets/**")),
        visibility="protected",
        auth="required",
        env={"MODE": "fast", "VERSION": "1.10", "DEBUG": "true"},
        secrets={"DATABASE_URL": True, "STRIPE_KEY": False},
        workers=4,
        concurrency=8,
        prewarm=2,
        keep=True,
        max_memory_bytes=256 * MB,
        max_address_space_bytes=2048 * MB,
        max_file_size_bytes=1024 * MB,
        max_processes=64,
        group_memory_bytes=512 * MB,
        group_processors=1.5,
        group_pids=200,
        python="python3.9",
        path=("src",),
        nice=5,
        user="1000:1000",
        sandbox="strict",
        write=("uploads", "/srv/shared"),
        data=True,
        data_max_bytes=1024 * MB,
        inject_base=False,
        strip_base=True,
        cookie_path="as-is",
        affinity="cookie",
        affinity_max_s=7200.0,
        hosts=("shop.example.com", "*.example.com"),
        uses=("kv", "mail"),
        watch=("rates.json", "!uploads/**"),
        spa=False,
        file_headers=(("/**", (("x-number", "1.10"),)),),
        mounts=(("/static", "staticfiles"),),
        in_shell=True,
        cron=cron_jobs([{"schedule": "0 3 * * *", "path": "/clean"}]),
        processes=(AppProcess("worker", ("celery", "-A", "tasks", "worker")),),
        release=("python", "manage.py", "migrate"),
        check="/healthz?deep=1",
        replace="after",
        keep_versions=9,
    )


def test_python_as_written() -> None:
    """A version of Python needs no quotes: 3.10 is not read as the number 3.1."""
    assert parse("python: 3.10")[0].python == "3.10"


def test_off_as_written() -> None:
    """`sandbox: off` needs no quotes, though YAML takes it for a boolean."""
    assert parse("sandbox: off")[0].sandbox == parse("sandbox: 'off'")[0].sandbox == "off"


def test_as_many_workers_as_cores() -> None:
    """`workers: auto` stays a word: the server finds out how many cores there are."""
    manifest, _ = parse("workers: auto")
    assert manifest.workers == "auto"
    assert to_config(manifest)["workers"] == "auto"


def test_lifetimes_without_end() -> None:
    """Each lifetime may be `none`, alone or together, and a worker sees that word."""
    manifest, warnings = parse("ttl: none\nidleTimeout: None\nmaxRequests: none")
    assert (manifest.ttl_s, manifest.idle_timeout_s) == (math.inf, math.inf)
    assert manifest.max_requests > 10**12
    assert warnings == ()
    config = to_config(manifest)
    assert [config[key] for key in ("ttl", "idleTimeout", "maxRequests")] == ["none"] * 3
    assert json.loads(json.dumps(config)) == config
    assert parse("ttl: 1h\nidleTimeout: none")[0].idle_timeout_s == 3600
    assert parse("ttl: none")[0].idle_timeout_s == 60


def test_an_app_that_is_kept() -> None:
    """`keep` always has one worker ready, or as many as `prewarm` says."""
    assert parse("ttl: 1h\nkeep: true")[0].prewarm == 1
    assert parse("ttl: none\nkeep: true\nprewarm: 3")[0].prewarm == 3
    assert "keep: with ttl 0 each request has a worker of its own" in fault("keep: true")


def test_public_routes_by_method() -> None:
    """Public routes may be given for each method, in any case."""
    manifest, _ = parse("publicRoutes:\n  get: [/a, /b/*]\n  POST: [/a]\n  ALL: []\n")
    assert manifest.public_routes == (("GET", "/a"), ("GET", "/b/*"), ("POST", "/a"))


def test_it_cannot_be_changed() -> None:
    """A manifest and its variables are immutable, so they can be shared."""
    manifest, _ = parse("env: {A: b}")
    with pytest.raises(FrozenInstanceError):
        manifest.workers = 2  # type: ignore[misc]  # what is tested
    with pytest.raises(TypeError):
        manifest.env["A"] = "c"  # type: ignore[index]  # what is tested
    assert {manifest: "as a key"}[replace(manifest)] == "as a key"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeot: 5", "unknown key 'timeot'; did you mean timeout?"),
        ("# c\n\ncolor: red", "unknown key 'color' (allowed are entrypoint, timeout, ttl, idleTi"),
        ("timeout: soon", "timeout: 'soon' is not a duration; write seconds, or"),
        ("timeout: 0", "timeout: 0 is too short; write more than 0s"),
        ("timeout:", "timeout: nothing is not a duration"),
        ("ttl: -1", "ttl: -1 is not a duration"),
        ("ttl: [1]", "ttl: a list is not a duration"),
        ("maxRequests: '9'", "maxRequests: '9' is not allowed; write a whole number, 1 or more"),
        ("workers: 0", "workers: 0 is not allowed; write a whole number, 1 or more, or auto"),
        ("prewarm: -1", "prewarm: -1 is not allowed; write a whole number, 0 or more"),
        ("concurrency: 1.5", "concurrency: 1.5 is not allowed; write a whole number"),
        ("maxBodySize: 0", "maxBodySize: 0 is too small; write 1b or more"),
        ("maxMemory: 1mb", "maxMemory: '1mb' is too small; write 16mb or more"),
        ("maxAddressSpace: 1mb", "maxAddressSpace: '1mb' is too small; write 128mb or more"),
        ("maxFileSize: 1", "maxFileSize: 1 is too small; write 4kb or more"),
        ("maxProcesses: 0", "maxProcesses: 0 is not allowed; write a whole number, 1 or more"),
        ("memoryMax: 1mb", "memoryMax: '1mb' is too small; write 32mb or more"),
        ("cpuMax: 0", "cpuMax: 0 is not a share of processors; write a number like 0.5, or 50%"),
        ("cpuMax: -1", "cpuMax: -1 is not a share of processors; write a number like 0.5, or 50%"),
        ("cpuMax: x", "cpuMax: 'x' is not a share of processors; write a number like 0.5, or 50%"),
        ("pidsMax: 15", "pidsMax: 15 is not allowed; write a whole number, 16 or more"),
        ("lowMemory: 'no'", "lowMemory: 'no' is neither true nor false"),
        ("visibility: secret", "visibility: 'secret' is not one of public, protected or internal"),
        ("visibility: true", "visibility: true is not one of public, protected or internal"),
        ("python: [3.9]", "python: a list is not text"),
        ("python: ''", "python: '' is not text"),
        ("nice: 20", "nice: 20 is not allowed; write a whole number, from 0 to 19"),
        ("nice: -1", "nice: -1 is not allowed; write a whole number, from 0 to 19"),
        ("user: 1000", "user: '1000' is not a user; write a name, or numbers like 1000:1000"),
        ("user: a b", "user: 'a b' is not a user; write a name, or numbers like 1000:1000"),
        ("sandbox: none", "sandbox: 'none' is not one of off, standard or strict"),
        ("sandbox: on", "sandbox: true is not one of off, standard or strict"),
        ("write: uploads", "write: 'uploads' is not a list; write one like [uploads, /srv/shared]"),
        ("write: ['']", "write: '' is not text; write a name or a path"),
        (
            "entrypoint: 'app.py:'",
            "entrypoint: 'app.py:': '' is neither a name nor a call without arguments",
        ),
        ("entrypoint: 'app.py:f(1)'", "entrypoint: 'app.py:f(1)': 'f(1)' is neither a name nor"),
        ("entrypoint: '../app.py:f'", "entrypoint: '../app.py' is not a file in the app's folder"),
        ("path: src", "path: 'src' is not a list; write one like [src]"),
        ("path: [../lib]", "path: '../lib' is not a file in the app's folder"),
        ("entrypoint: 5", "entrypoint: 5 is not text"),
        ("entrypoint: /etc/passwd", "entrypoint: '/etc/passwd' is not a file in the app's folder"),
        (
            "entrypoint: a/../../b.py",
            "entrypoint: 'a/../../b.py' is not a file in the app's folder",
        ),
        ("entrypoint: ..", "entrypoint: '..' is not a file in the app's folder"),
        ("entrypoint: .", "entrypoint: '.' is not a file in the app's folder"),
        ('entrypoint: "a\\0b"', r"entrypoint: 'a\x00b' is not text"),
        ("publicRoutes: /a", "publicRoutes: '/a' is not a list"),
        ("publicRoutes: {GET: /a}", "publicRoutes: '/a' is not a list"),
        (
            "publicRoutes: {GTE: [/a]}",
            "publicRoutes: 'GTE' is not one of ALL, GET, HEAD, POST, PUT",
        ),
        ("publicRoutes: [a]", "publicRoutes: 'a' is not a path"),
        ("publicRoutes: [[/a]]", "publicRoutes: a list is not a path"),
        ("publicRoutes: [/a%20b]", "publicRoutes: '/a%20b' has a character that no plain path"),
        ("publicRoutes: ['/a?b']", "publicRoutes: '/a?b' has a character that no plain path has"),
        ("publicRoutes: [/../a]", "publicRoutes: '/../a' has an empty or a dot segment"),
        ("publicRoutes: [/a//b]", "publicRoutes: '/a//b' has an empty or a dot segment"),
        ("publicRoutes: [/a**]", "publicRoutes: '/a**': write \"**\" alone between two slashes"),
        ("uses: kv", "uses: 'kv' is not a list; write one like [kv, mail]"),
        ("uses: [k/v]", "uses: 'k/v' is not a service; begin with a letter"),
        (
            "watch: data",
            "watch: 'data' is not a list; write one like [rates.json, \"!uploads/**\"]",
        ),
        ("watch: ['!']", "watch: '!' names no file"),
        ("watch: [../x]", "watch: '/../x' has an empty or a dot segment"),
        (f"watch: [{'a*' * 2049}]", "watch: its patterns have more than 4096 characters together"),
        ("env: [A]", "env: a list is not a mapping"),
        ("env: {A-B: x}", "env: 'A-B' is not a name"),
        ("env: {A: }", 'env: A: nothing is not text; write "" for an empty one'),
        ("env: {A: [b]}", "env: A: a list is not text"),
        ("env: {APP_DIR: x}", "env: APP_DIR is set by the runtime; choose another name"),
        ("ttl: 60\nttl: 60", "ttl is given twice, first on line 1"),
        ("a: b: c", "not valid YAML: mapping values are not allowed"),
    ],
)
def test_faults(text: str, message: str) -> None:
    """An error names the file, the line, the key, the value and what is allowed."""
    line = text.count("\n") + 1
    assert fault(text).startswith(f"shop/buntime.yaml:{line}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ttl: 10\ntimeout: 30",
            "ttl 10s is shorter than timeout 30s; raise ttl or lower timeout",
        ),
        (
            "ttl: 10s",
            "ttl 10s is shorter than timeout 30s (the default); raise ttl or lower timeout",
        ),
        (
            "ttl: 1h\nidleTimeout: 5s",
            "idleTimeout 5s is shorter than timeout 30s (the default); raise idleTimeout or",
        ),
        (
            "ttl: 1h\ntimeout: 2m",
            "idleTimeout 1m (the default) is shorter than timeout 2m; raise idleTimeout or",
        ),
    ],
)
def test_a_worker_lives_as_long_as_a_request(text: str, message: str) -> None:
    """If workers are reused, neither `ttl` nor `idleTimeout` may be shorter than `timeout`."""
    assert fault(text).startswith(f"shop/buntime.yaml: {message}")


def test_without_ttl_no_such_rule() -> None:
    """If a worker serves one request, `idleTimeout` has no meaning and may be short."""
    manifest, warnings = parse("timeout: 2m\nidleTimeout: 1s")
    assert (manifest.timeout_s, manifest.idle_timeout_s, warnings) == (120.0, 1.0, ())


def test_idle_timeout_is_lowered_to_ttl() -> None:
    """A worker cannot be idle for longer than it lives; a manifest that asks for that gets a
    warning."""
    manifest, warnings = parse("ttl: 10m\nidleTimeout: 1h")
    assert manifest.idle_timeout_s == 600.0
    assert warnings == ("shop/buntime.yaml: idleTimeout 1h is longer than ttl; 10m is used",)


def test_default_idle_timeout_is_lowered_in_silence() -> None:
    """There is no warning about a default that the manifest did not set."""
    manifest, warnings = parse("ttl: 40s")
    assert (manifest.idle_timeout_s, warnings) == (40.0, ())


def test_body_size_is_capped() -> None:
    """The runtime's largest body applies to every app, with a warning."""
    manifest, warnings = parse("maxBodySize: 1gb")
    assert manifest.max_body_size_bytes == 100 * MB
    assert warnings == (
        "shop/buntime.yaml: maxBodySize 1gb is above RUNTIME_BODY_SIZE_MAX; 100mb is used",
    )


def test_config() -> None:
    """A worker sees the manifest by its own keys, in seconds and bytes."""
    manifest, _ = parse("ttl: 1h\ntimeout: 500ms\npublicRoutes: {GET: [/a, /b], ALL: [/c]}\n")
    config = to_config(manifest)
    assert list(config) == [key.name for key in KEYS]
    assert config["ttl"] == 3600
    assert config["timeout"] == 0.5
    assert config["maxBodySize"] == 10 * MB
    assert config["publicRoutes"] == {"GET": ["/a", "/b"], "ALL": ["/c"]}
    assert config["entrypoint"] is None


def test_config_has_no_blocked_variable() -> None:
    """What is kept out of the environment does not get in through the config."""
    manifest, _ = parse("env: {A: b, DB_URL: hidden, my_token: hidden}")
    assert to_config(manifest)["env"] == {"A": "b"}


SECONDS = st.integers(1, 10**6).map(lambda ms: ms / 1000)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "entrypoint": st.sampled_from(["index.html", "src/app.py", "app:a", "app.py:a.b()"]),
        "path": st.lists(st.sampled_from(["src", "lib/x"])),
        "timeout": SECONDS,
        "ttl": st.just(0) | SECONDS,
        "idleTimeout": SECONDS,
        "maxRequests": st.integers(1, 10**6),
        "maxBodySize": st.integers(1, 200 * MB),
        "lowMemory": st.booleans(),
        "publicRoutes": st.dictionaries(
            st.sampled_from(["ALL", "GET", "POST"]),
            st.lists(st.sampled_from(["/", "/a", "/a/*", "/**"]), min_size=1, unique=True),
        ),
        "visibility": st.sampled_from(["public", "protected", "internal"]),
        "env": st.dictionaries(
            st.from_regex(r"[A-Za-z_]{1,4}(_KEY|_token)?", fullmatch=True), st.text(max_size=5)
        ),
        "concurrency": st.none() | st.integers(1, 100),
        "injectBase": st.none() | st.booleans(),
        "stripBase": st.booleans(),
        "cookiePath": st.sampled_from(["base", "as-is"]),
        "affinity": st.sampled_from(["none", "cookie"]),
        "affinityMax": SECONDS,
        "hosts": st.lists(st.sampled_from(["a.example", "*.example", "localhost"])),
        "uses": st.lists(st.sampled_from(["kv", "mail"])),
        "watch": st.lists(st.sampled_from(["*.json", "!uploads/**", "a/b.txt"])),
    },
)


def parse_or_none(document: dict[str, object]) -> Manifest | None:
    try:
        return parse(yaml.safe_dump(document, allow_unicode=True))[0]
    except ManifestError:
        return None


@settings(deadline=None)
@given(DOCUMENTS)
def test_rules_hold(document: dict[str, object]) -> None:
    """Whatever a manifest says, the result keeps the rules."""
    manifest = parse_or_none(document)
    if manifest is None:
        return
    assert manifest.max_body_size_bytes <= 100 * MB
    if manifest.ttl_s:
        assert manifest.timeout_s <= manifest.idle_timeout_s <= manifest.ttl_s


@settings(deadline=None)
@given(DOCUMENTS)
def test_config_round_trip(document: dict[str, object]) -> None:
    """The config of a manifest is JSON, and reads back as a manifest with the same meaning."""
    manifest = parse_or_none(document)
    if manifest is None:
        return
    config = to_config(manifest)
    again = parse_or_none(json.loads(json.dumps(config)))
    allowed = {name: text for name, text in manifest.env.items() if not is_withheld(name, text)}
    assert again == replace(manifest, env=allowed)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([key.name for key in KEYS]), st.text() | st.integers()))
def test_any_values(document: dict[str, object]) -> None:
    """Any values give a manifest or a one-line printable ManifestError, and nothing else."""
    data = yaml.safe_dump(document, allow_unicode=True).encode()
    assert set(read_document(data, size_max_bytes=SIZE_MAX_BYTES)) == set(document)
    try:
        parse(data)
    except ManifestError as exc:
        line = str(exc)
    else:
        line = "fine"
    assert line.isprintable()


def test_affinity_needs_a_worker_that_stays() -> None:
    """Affinity is refused with ttl 0, since no worker has a second request."""
    with pytest.raises(ManifestError, match="affinity: with ttl 0 no worker gets a second request"):
        parse("affinity: cookie")


def test_a_name_in_env_and_in_secrets() -> None:
    """A name may not be in both `env` and `secrets`: it would be unclear which one the app gets."""
    text = b"env: {MODE: fast, B: '1'}\nsecrets: [MODE, KEY]\n"
    with pytest.raises(ManifestError, match="app: MODE is in env and in secrets; keep one"):
        parse_manifest(text, path="app", body_default=1, body_max=1)
