"""Operators' keys: what one opens, what apps see of it, and what outlives the runtime."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.client import Answer, fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, write_app
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin

ECHO = """
import json
from buntime import Response

def fetch(request):
    return Response(json.dumps([[name, value] for name, value in request.headers.items()]))
"""


class Served(NamedTuple):
    runtime: Runtime
    keys: dict[str, str]


def make(runtime: Runtime, name: str, **wanted: Any) -> str:
    """Makes a key with the master key, and returns its text."""
    body = json.dumps({"name": name, **wanted}).encode()
    bears = {"X-API-Key": OPERATORS_KEY}
    told = fetch(runtime, "/api/keys", method="POST", body=body, headers=bears)
    assert told.status == 201, told.body
    return str(told.json()["key"])


def ask(runtime: Runtime, path: str, key: str, method: str = "GET", **more: Any) -> Answer:
    return fetch(runtime, path, method=method, headers={"Authorization": f"Bearer {key}"}, **more)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    apps = tmp_path_factory.mktemp("keys") / "apps"
    for name, visibility in (("blog", "protected"), ("shop", "protected"), ("open", "public")):
        write_app(apps / name, {"app.py": ECHO}, ttl=60, visibility=visibility)
    return apps


@pytest.fixture(scope="module")
def served(apps: Path) -> Iterator[Served]:
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        keys = {
            "viewer": make(runtime, "viewer", roles=["viewer"]),
            "blog": make(runtime, "blog", roles=["deployer"], apps=["blog*"]),
            "blind": make(runtime, "blind", roles=["logs:read"]),
        }
        yield Served(runtime, keys)


def test_what_a_key_opens(served: Served) -> None:
    """A key allows what its roles allow, and no more."""
    runtime, keys = served
    assert ask(runtime, "/api/workers", keys["viewer"]).status == 200
    refused = ask(runtime, "/api/apps/blog/recycle", keys["viewer"], "POST")
    assert (refused.status, refused.error["code"]) == (403, "not_allowed")
    assert "workers:recycle" in refused.error["message"]
    assert ask(runtime, "/api/apps/blog/recycle", keys["blog"], "POST").status == 202
    assert ask(runtime, "/api/apps/shop/recycle", keys["blog"], "POST").status == 403
    assert ask(runtime, "/api/config", keys["blog"]).status == 403


def test_protected_apps(served: Served) -> None:
    """A key opens the protected apps that its globs cover, and those do not see it."""
    runtime, keys = served
    for key in (keys["viewer"], keys["blog"]):
        answer = ask(runtime, "/blog/", key)
        assert answer.status == 200
        assert key not in answer.body.decode()
    for key in (keys["blog"], keys["blind"]):
        answer = ask(runtime, "/shop/", key)
        assert (answer.status, answer.error["code"]) == (403, "not_allowed")


def test_public_apps(served: Served) -> None:
    """A public app sees no key of the runtime either, but it sees its own keys."""
    runtime, keys = served
    for key in (*keys.values(), OPERATORS_KEY):
        assert key not in ask(runtime, "/open/", key).body.decode()
        answer = fetch(runtime, "/open/", headers={"X-API-Key": key})
        assert key not in answer.body.decode()
    assert "of-the-app" in ask(runtime, "/open/", "of-the-app").body.decode()


def test_a_right_key_is_never_delayed(served: Served) -> None:
    """However many wrong keys come from its address: those are delayed, the right one is not."""
    runtime, keys = served
    wrong = "bt_" + "x" * 49
    statuses = [
        ask(runtime, path, wrong, source="127.0.0.7").status
        for path in ("/api/workers", "/shop/") * 8
    ]
    assert (set(statuses[:10]), set(statuses[10:])) == ({401}, {429})
    for path in ("/api/workers", "/blog/"):
        assert ask(runtime, path, keys["viewer"], source="127.0.0.7").status == 200


def test_a_key_that_is_revoked(served: Served) -> None:
    """A revoked key opens nothing, the answer says so, and it is slowed down from any address."""
    runtime = served.runtime
    key = make(runtime, "gone", roles=["viewer"])
    assert ask(runtime, "/shop/", key).status == 200
    assert ask(runtime, "/api/keys/gone", OPERATORS_KEY, "DELETE").json()["standing"] == "revoked"
    answers = [ask(runtime, "/shop/", key, source=f"127.0.0.{number}") for number in range(20, 33)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 3
    assert "the key gone is revoked" in answers[0].error["message"]
    assert key not in ask(runtime, "/open/", key).body.decode()


def test_the_next_start(apps: Path, tmp_path: Path) -> None:
    """Keys outlive the runtime, and open its pages even if no other key is set."""
    state = tmp_path / "state"
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state)}
    with running(apps, env=env) as runtime:
        key = make(runtime, "laptop", roles=["viewer"], expires="1h")
    with running(apps, env={**env, "RUNTIME_MASTER_KEY": ""}) as runtime:
        for path in ("/shop/", "/api/workers"):  # they wait until the keys are read
            assert ask(runtime, path, key).status == 200
        for wrong in ("None", "", "bt_" + "x" * 49):
            assert ask(runtime, "/api/workers", wrong).status == 401
        assert ask(runtime, "/api/apps/blog/recycle", key, "POST").status == 403


@pytest.mark.parametrize("stage", ["route", "identity", "access"])
def test_no_plugin_sees_a_key(tmp_path: Path, stage: str) -> None:
    """Hooks of any stage see other keys, but none of the runtime's, which still open the app."""
    echo = """
        import json
        from buntime.plugin import Continue

        def on_request(request):
            told = json.dumps([[name, value] for name, value in request.headers.items()])
            return Continue(headers={"x-plugin-saw": told})
    """
    write_plugin(tmp_path / "plugins", "curious", textwrap.dedent(echo), stage=stage)
    for name, visibility in (("shop", "protected"), ("open", "public")):
        write_app(tmp_path / "apps" / name, {"app.py": ECHO}, ttl=60, visibility=visibility)
    with plugged(tmp_path, RUNTIME_MASTER_KEY=OPERATORS_KEY) as runtime:
        wait_for_state(runtime, "curious", "serving")
        for key in (make(runtime, "laptop", roles=["viewer"]), OPERATORS_KEY):
            for app in ("shop", "open"):
                answer = ask(runtime, f"/{app}/", key)
                assert answer.status == 200, answer.body
                told = dict(answer.json())
                assert "x-plugin-saw" in told
                assert key not in answer.body.decode()
        assert fetch(runtime, "/shop/").status == 401
        told = dict(ask(runtime, "/open/", "of-the-app").json())
        assert "of-the-app" in told["x-plugin-saw"]
