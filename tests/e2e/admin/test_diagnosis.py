"""What operators learn of apps that misbehave, and which operator learns of which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buntime.commands.cli import main
from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, wait_until, write_app

SHOP = """
import os, signal
from buntime import Response

def deep(count):
    if count:
        return deep(count - 1)
    raise ValueError(f"no such article {os.getpid()}")

def fetch(request):
    if request.path == "/fail":
        deep(int(request.query.get("deep", 1)))
    if request.path == "/die":
        signal.raise_signal(signal.SIGSEGV)  # of this thread: it does not return
    if request.path == "/exit":
        os._exit(3)
    return Response("x")
"""
DEEP = """
raise RuntimeError("x\\n" * 10000)
"""
ANSWERED = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 500})
    await send({"type": "http.response.body", "body": b"sorry"})
    raise ValueError("no such article")
"""
FLOORS = 'apps:\n  "sho*":\n    timeout: 5s\n'


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("apps")
    write_app(apps / "shop", {"app.py": SHOP}, ttl=600, env={"SECRETIVE": "hunter2"})
    write_app(apps / "broken", {"app.py": DEEP}, ttl=600)
    write_app(apps / "keyless", {"app.py": SHOP}, ttl=600, secrets=["STRIPE_KEY"])
    write_app(apps / "faulty", {"app.py": SHOP}, colour="red")
    write_app(apps / "keyval", {"app.py": SHOP})
    write_app(apps / "healthy", {"app.py": SHOP}, ttl=600)
    write_app(apps / "cpanel", {"app.py": SHOP}, hosts=["panel.test"])
    config = apps.parent / "config.yaml"
    config.write_text(FLOORS)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_CONFIG": str(config),
        "RUNTIME_MASTER_KEY": OPERATORS_KEY,
    }
    with running(apps, env=env) as runtime:
        runtime.operators_key = OPERATORS_KEY
        for path in ("/shop/fail", "/shop/fail", "/shop/fail?deep=5", "/broken/", "/keyless/"):
            assert fetch(runtime, path).status == 500
        for path in ("/shop/die", "/shop/exit", "/shop/die"):
            fetch(runtime, path, method="POST")
        yield runtime


@pytest.mark.parametrize("ttl_s", [0, 600])
def test_errors_that_the_app_has_answered(tmp_path: Path, ttl_s: int) -> None:
    """FastAPI and Starlette answer an exception with 500, and then raise it: it is an error of the
    app, with the id of its request."""
    write_app(tmp_path / "shop", {"app.py": ANSWERED}, ttl=ttl_s)
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": OPERATORS_KEY}
    with running(tmp_path, env=env) as runtime:
        answer = fetch(runtime, "/shop/a?b=1")
        assert (answer.status, answer.body) == (500, b"sorry")
        record = runtime.wait_for_record("app.failed_late")
        assert record["request_id"] == answer.headers["x-request-id"]
        assert (record["app"], record["path"]) == ("shop", "/shop/a")
        [error] = get(runtime, "/api/apps/shop/errors")["errors"]
        assert (error["message"], error["count"]) == ("ValueError: no such article", 1)
        assert 'raise ValueError("no such article")' in error["stack"]


def get(runtime: Runtime, path: str, key: str = "") -> Any:
    answer = fetch(runtime, path, headers={"X-API-Key": key or OPERATORS_KEY})
    assert answer.status == 200, answer.body
    return answer.json()


def test_errors_are_grouped(runtime: Runtime) -> None:
    """Exceptions of the same kind and line are one error, even if texts and callers differ."""
    [error] = get(runtime, "/api/apps/shop/errors")["errors"]
    assert error["count"] == 3
    assert error["where"].endswith("app.py:8 in deep")
    assert error["message"].startswith("ValueError: no such article")
    assert error["stack"].count("in deep") == 4  # of the last one, with repeated lines left out
    assert error["requestId"]
    assert error["firstAt"] <= error["lastAt"]


def test_errors_are_bounded(runtime: Runtime) -> None:
    """Of an error of 10,000 lines the end is kept."""
    [error] = get(runtime, "/api/apps/broken/errors")["errors"]
    assert error["kind"] == "boot"
    assert len(error["stack"]) <= 20_000
    assert len(error["message"]) <= 2000


def test_errors_before_the_import(runtime: Runtime) -> None:
    """An app without its secrets has an error of its own, though none of its code has run."""
    [error] = get(runtime, "/api/apps/keyless/errors")["errors"]
    assert error["kind"] == "boot"
    assert "the secret STRIPE_KEY is not set" in error["message"]


def test_autopsies(runtime: Runtime) -> None:
    """Each worker that failed, with what ended it and which requests it had in hand."""
    wait_until(lambda: len(get(runtime, "/api/apps/shop/autopsies")["autopsies"]) >= 3)
    found = get(runtime, "/api/apps/shop/autopsies")["autopsies"]
    assert {(each["cause"], each["why"]) for each in found} == {
        ("signal", "killed by SIGSEGV"),
        ("exit", "exit code 3"),
    }
    assert [(each["requestsLost"], each["planned"]) for each in found] == [(1, False)] * 3
    [boot] = get(runtime, "/api/apps/broken/autopsies")["autopsies"]
    assert boot["cause"] == "boot"
    assert boot["why"] == "app.py: RuntimeError: x"


def test_an_operators_word_is_told(runtime: Runtime) -> None:
    """For a worker that an operator recycled, that is the reason shown."""
    fetch(runtime, "/healthy/")
    fetch(runtime, "/api/apps/healthy/recycle", method="POST")

    def ends() -> list[tuple[str, bool]]:
        told = get(runtime, "/api/apps/healthy/autopsies")["autopsies"]
        return [(each["why"], each["planned"]) for each in told]

    wait_until(lambda: ends() == [("an operator recycled it", True)])


def test_settings(runtime: Runtime) -> None:
    """Each key has its value and its origin; values of variables are not shown."""
    told = get(runtime, "/api/apps/shop/settings")
    by_key = {each["key"]: each for each in told["settings"]}
    assert by_key["ttl"]["value"] == 600
    assert by_key["ttl"]["place"].startswith("buntime.yaml:")
    assert (by_key["timeout"]["value"], by_key["timeout"]["was"]) == (5, 30)
    assert by_key["timeout"]["place"].endswith("config.yaml:3")
    assert (by_key["workers"]["origin"], by_key["workers"]["place"]) == ("default", None)
    assert by_key["env"]["value"] == ["SECRETIVE"]
    assert "hunter2" not in str(told)
    assert fetch(runtime, "/api/apps/faulty/settings").status == 409
    assert fetch(runtime, "/api/apps/none/settings").status == 404


def test_attention(runtime: Runtime) -> None:
    """Each problem is described in sentences, with what to do about it."""
    items = get(runtime, "/api/attention")["items"]
    found = {(each["code"], each["app"]): each for each in items}
    assert found["app_boot_failed", "broken"]["text"].startswith(
        "broken does not load: app.py: Run"
    )
    assert found["secrets_missing", "keyless"]["command"] == (
        "buntime secrets set keyless STRIPE_KEY"
    )
    assert "unknown key 'colour'" in found["app_invalid", "faulty"]["text"]
    hidden = found["app_hidden", "keyval"]
    assert hidden["text"] == "keyval cannot be reached: the plugin keyval has the path /keyval."
    assert ("app_hidden", "cpanel") not in found  # it has a host of its own
    assert found["workers_fail", "shop"]["level"] == "warning"
    assert [each["level"] for each in items] == sorted(
        (each["level"] for each in items), key=["error", "warning", "info"].index
    )


def test_commands(
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same on a terminal; the exit code of `status` says whether there is an error."""
    monkeypatch.setenv("BUNTIME_KEY", OPERATORS_KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        assert main([*words, "--to", runtime.url], mode="checkout") == code
        return capsys.readouterr().out

    status = run("status", code=1)
    assert "ERROR  broken does not load: app.py: RuntimeError: x\n" in status
    assert "       buntime secrets set keyless STRIPE_KEY\n" in status
    assert {"attention", "history"} == json.loads(run("status", "--json", code=1)).keys()
    shown = run("show", "shop")
    assert re.search(r"^  ttl +600 s$", shown, re.MULTILINE)
    assert "{}" not in shown  # for a key without entries
    assert re.search(r"^  secrets +STRIPE_KEY$", run("show", "keyless"), re.MULTILINE)
    errors = run("show", "shop", "--errors")
    assert errors.startswith("3 x at a request: ValueError: no such article")
    assert 'app.py", line 8, in deep' in errors
    autopsies = run("show", "shop", "--autopsies")
    assert "signal: killed by SIGSEGV" in autopsies
    settings = run("show", "shop", "--settings")
    assert re.search(r"^  ttl +10m +buntime\.yaml:\d+$", settings, re.MULTILINE)
    assert re.search(r"^  workers +1 +default$", settings, re.MULTILINE)
    assert "hunter2" not in settings
    assert run("show", "shop", "--errors", "--settings", code=2) == ""


def test_globs(runtime: Runtime) -> None:
    """A key for some apps sees these, and nothing of the runtime as a whole."""
    body = b'{"name": "shopkeeper", "roles": ["viewer"], "apps": ["shop*"]}'
    headers = {"X-API-Key": OPERATORS_KEY, "Content-Type": "application/json"}
    made = fetch(runtime, "/api/keys", method="POST", headers=headers, body=body)
    key = made.json()["key"]
    assert {each["app"] for each in get(runtime, "/api/attention", key)["items"]} == {"shop"}
    assert len(get(runtime, "/api/apps/shop/errors", key)["errors"]) == 1
    for what in ("errors", "autopsies", "settings"):
        answer = fetch(runtime, f"/api/apps/broken/{what}", headers={"X-API-Key": key})
        assert answer.status == 403
