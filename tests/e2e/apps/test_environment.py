"""What an app's worker finds in its environment, and what never gets there, or into the log."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import fetch
from tests.support.fence import KERNEL
from tests.support.harness import Runtime, command, running, wait_until, write_app

WORKERS_START_AFRESH = True  # /proc shows what a start has given to workers

SECRET = "s3cr3t-value"  # in each value that must never be seen
MASTER_KEY = f"{SECRET}-master-key"

DUMP = """
import json, os, subprocess, time
from buntime import Response

def fetch(request):
    if request.path == "/fail":
        raise ValueError("a mistake")
    return Response.json({
        "environ": dict(os.environ),
        "of_a_child": subprocess.run(["env", "-0"], capture_output=True).stdout.decode(),
        "at_start": open("/proc/self/environ").read(),
        "command": open("/proc/self/cmdline").read(),
        "zone": time.tzname[0],
        "headers": request.headers.items(),
    })
"""

OPERATORS = {
    "LANG": "C.UTF-8",
    "TZ": "Asia/Tokyo",
    "RUNTIME_ENV": "production",
    "RUNTIME_COLOUR": "blue",  # other names with RUNTIME_ are passed to apps
}
NOT_FOR_APPS = {
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/nowhere",
    "PYTHONSTARTUP": "/nowhere",
    "SOMETHING": "else",
    "runtime_colour": "red",
    "NODE_ENV": "staging",  # RUNTIME_ENV wins, and apps get it
}
SECRETS = {
    "RUNTIME_MASTER_KEY": MASTER_KEY,
    **{
        name: f"{SECRET}-{number}"
        for number, name in enumerate(
            [
                "DATABASE_URL",
                "DB_HOST",
                "db_password",
                "API_KEY",
                "api_key",
                "Session_Token",
                "APP_SECRET",
                "SMTP_PASSWORD",
                "AWS_REGION",
                "aws_access_key_id",
                "GITHUB_ACTOR",
                "OPENAI_BASE_URL",
                "Anthropic_Model",
                "STRIPE_MODE",
                "RUNTIME_SIGNING_KEY",
                "RUNTIME_backup_token",
            ]
        )
    },
}
MANIFEST_ENV = {"GREETING": "hello", "RUNTIME_COLOUR": "green", "LANG": "C", "EMPTY": ""}
MANIFEST_SECRETS = dict.fromkeys(
    ("MAIL_PASSWORD", "db_url", "Stripe_Account", "RUNTIME_OTHER_KEY"), f"{SECRET}-manifest"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    apps = folder / "apps"
    write_app(apps / "plain", {"index.py": DUMP})
    write_app(apps / "configured", {"src/main.py": DUMP}, entrypoint="src/main.py",
              env={**MANIFEST_ENV, **MANIFEST_SECRETS}, ttl=60)  # fmt: skip
    write_app(apps / "locked", {"app.py": DUMP}, visibility="protected")
    (folder / ".env").write_text(f"DOTENV_TOKEN={SECRET}-dotenv\nFROM_DOTENV=1\n")
    return folder


@contextmanager
def serving(folder: Path, *, spares: int) -> Iterator[Runtime]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        env = {**OPERATORS, **NOT_FOR_APPS, **SECRETS, "RUNTIME_SPARE_WORKERS": str(spares)}
        with running(folder / "apps", env=env, start=command()) as runtime:
            yield runtime


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[Runtime]:
    with serving(folder, spares=1) as runtime:
        yield runtime


def dump(runtime: Runtime, app: str) -> dict[str, object]:
    return fetch(runtime, f"/{app}/").json()  # type: ignore[no-any-return]


def parsed(block: object) -> dict[str, str]:
    """`"A=1\\0B=2\\0"` -> {"A": "1", "B": "2"}."""
    assert isinstance(block, str)
    return dict(line.split("=", 1) for line in block.split("\0") if line)


def test_environment_is_exactly_what_is_allowed(runtime: Runtime) -> None:
    """An app finds its own variables, the few inherited ones, and no others."""
    environ = dump(runtime, "plain")["environ"]
    assert isinstance(environ, dict)
    folder = environ.pop("APP_DIR")
    assert Path(folder).name == "plain"
    assert environ.pop("WORKER_ID")
    assert environ.pop("RUNTIME_STATE_DIR")
    assert environ.pop("RUNTIME_ADMIN_LISTEN")
    assert environ.pop("RUNTIME_SPARE_WORKERS")
    config = json.loads(environ.pop("WORKER_CONFIG"))
    assert (config["ttl"], config["timeout"]) == (0, 30)
    if KERNEL.is_fit:  # a sandbox has a home of its own
        home = environ.pop("HOME")
        assert environ.pop("TMPDIR") == home
        assert home.endswith("/plain")
        environ["HOME"] = os.environ["HOME"]
    assert environ == {
        "APP_BASE": "/plain",
        "ENTRYPOINT": "index.py",
        "NODE_ENV": "production",
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "LANG": "C.UTF-8",
        "TZ": "Asia/Tokyo",
        "RUNTIME_ENV": "production",
        "RUNTIME_COLOUR": "blue",
        "RUNTIME_LOG_FORMAT": "json",
        "RUNTIME_LOG_LEVEL": "debug",
    }


def test_environment_has_what_the_manifest_adds(runtime: Runtime) -> None:
    """The manifest's `env` is added, and wins over what is inherited."""
    environ = dump(runtime, "configured")["environ"]
    assert isinstance(environ, dict)
    assert {name: environ[name] for name in MANIFEST_ENV} == MANIFEST_ENV
    assert environ["ENTRYPOINT"] == "src/main.py"
    assert json.loads(environ["WORKER_CONFIG"])["env"] == MANIFEST_ENV


def test_time_zone_is_in_effect(runtime: Runtime) -> None:
    """A worker uses the time zone of TZ, even if it was started as a spare."""
    key = {"X-API-Key": MASTER_KEY}
    wait_until(lambda: b'"spare"' in fetch(runtime, "/api/workers", headers=key).body)
    assert dump(runtime, "plain")["zone"] == "JST"


@pytest.mark.parametrize("app", ["plain", "configured"])
def test_programs_of_an_app_get_the_same(runtime: Runtime, app: str) -> None:
    """What an app starts inherits the app's environment, with nothing of the interpreter's."""
    told = dump(runtime, app)
    assert parsed(told["of_a_child"]) == told["environ"]


@pytest.mark.parametrize("app", ["plain", "configured"])
def test_no_secret_is_anywhere_in_a_worker(runtime: Runtime, app: str) -> None:
    """No blocked value is in the environment, in WORKER_CONFIG, or in what /proc shows."""
    told = dump(runtime, app)
    assert SECRET not in json.dumps(told)
    environ = told["environ"]
    assert isinstance(environ, dict)
    names = {name.upper() for name in {**SECRETS, **MANIFEST_SECRETS, "DOTENV_TOKEN": ""}}
    assert names.isdisjoint(name.upper() for name in environ)
    assert parsed(told["at_start"]).keys() <= {"PATH", "HOME", "LANG", "TZ", "WORKER_ID"}


def test_blocked_names_are_logged(runtime: Runtime) -> None:
    """The names of variables that are kept from an app are logged, once for each app."""
    for _ in range(2):
        dump(runtime, "plain")
        dump(runtime, "configured")
    for app, names in (("plain", {*SECRETS}), ("configured", {*SECRETS, *MANIFEST_SECRETS})):
        record = runtime.wait_for_record("app.variables_withheld", app=app)
        assert record["names"] == sorted(names)
    told = [r["app"] for r in runtime.records if r["event"] == "app.variables_withheld"]
    assert (told.count("configured"), told.count("plain")) == (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": MASTER_KEY},
        {"x-api-key": f"  {MASTER_KEY}  "},
        {"Authorization": f"Bearer {MASTER_KEY}"},
        {"authorization": f"bearer   {MASTER_KEY}"},
        {"Authorization": f"Bearer {MASTER_KEY}", "X-API-Key": MASTER_KEY},
    ],
)
@pytest.mark.parametrize("app", ["plain", "locked"])
def test_key_of_a_request_stays_with_the_runtime(
    runtime: Runtime, app: str, headers: dict[str, str]
) -> None:
    """The runtime's key does not reach an app as a header, whether or not the app is protected."""
    answer = fetch(runtime, f"/{app}/", headers={**headers, "X-Other": "other"})
    assert answer.status == 200
    assert SECRET.encode() not in answer.body
    assert ["x-other", "other"] in answer.json()["headers"]


def test_keys_of_the_app_reach_it(runtime: Runtime) -> None:
    """Keys that are not the runtime's are the app's own, and reach it."""
    headers = {"X-API-Key": "of the app", "Authorization": "Bearer of-the-app"}
    told = fetch(runtime, "/plain/", headers=headers).json()["headers"]
    assert ["x-api-key", "of the app"] in told
    assert ["authorization", "Bearer of-the-app"] in told


def test_no_secret_is_in_any_log(folder: Path) -> None:
    """No variable, key or query gets into the log, whatever happens to a request."""
    key = {"X-API-Key": MASTER_KEY}
    query = f"?token={SECRET}"
    paths = "/plain/", "/plain/fail", "/locked/", "/no-such-app/", "/api/workers", "/api/x"
    odd = f"GET /plain/{query} HTTP/9.9", f"GET /plain/{query} HTTP/1.1"
    with serving(folder, spares=0) as runtime:
        for path in (*paths, "/configured/"):
            fetch(runtime, path + query)
            fetch(runtime, path + query, headers=key)
        fetch(runtime, "/locked/", headers={"X-API-Key": MASTER_KEY + "x"})
        for line in odd:
            runtime.exchange(f"{line}\r\nx-api-key: {MASTER_KEY}\r\n\r\n".encode())
        assert runtime.stop() == 0
    assert runtime.records
    leaks = [record for record in runtime.records if SECRET in json.dumps(record)]
    assert leaks == []
