"""The pages of apps: which exist, what failed last, and apps that sleep or are closed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Answer, fetch, workers_of
from tests.support.harness import OPERATORS_KEY, Runtime, running, wait_until, write_app

APP = """
from buntime import Response

def fetch(request):
    if request.path == "/fail":
        raise ValueError("no luck")
    return Response("served")
"""
MAINTENANCE = "/api/apps/shop/maintenance"
KEY = {"X-API-Key": OPERATORS_KEY}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    apps = tmp_path_factory.mktemp("apps")
    shop = apps / "shop"
    write_app(shop / "1.0.0", {"app.py": APP}, ttl=60)
    write_app(shop / "1.1.0", {"app.py": APP}, ttl=60, env={"GREETING": "hi"}, hosts=["shop.test"])
    write_app(apps / "@acme/site", {"index.html": "<p>hello"})
    write_app(apps / "failing", {"app.py": "import missing_module"}, ttl=60)
    write_app(apps / "faulty", {"app.py": APP}, ttl="no time")
    write_app(apps / "ready", {"app.py": APP}, ttl=60, prewarm=1)
    return apps


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production"}) as runtime:
        yield runtime


def ask(runtime: Runtime, path: str, method: str = "GET", value: object = None) -> Answer:
    headers = KEY if value is None else KEY | {"Content-Type": "application/json"}
    body = None if value is None else json.dumps(value).encode()
    return fetch(runtime, path, method=method, headers=headers, body=body)


def test_the_list(runtime: Runtime) -> None:
    """Each app is listed with its versions and the active one, page by page."""
    fetch(runtime, "/shop/")
    told = ask(runtime, "/api/apps").json()
    found = {each["app"]: each for each in told["apps"]}
    assert list(found) == ["@acme/site", "failing", "faulty", "ready", "shop"]
    assert told["next"] is None
    shop = found["shop"]
    assert (shop["versions"], shop["active"]) == (["1.0.0", "1.1.0"], "1.1.0")
    assert (shop["status"], shop["workers"], shop["maintenance"]) == ("idle", 1, False)
    assert (found["@acme/site"]["versions"], found["@acme/site"]["active"]) == ([None], None)
    assert (found["faulty"]["status"], found["shop"]["error"]) == ("offline", None)
    assert "ttl" in found["faulty"]["error"]
    first = ask(runtime, "/api/apps?limit=2").json()
    assert ([each["app"] for each in first["apps"]], first["next"]) == (
        ["@acme/site", "failing"],
        "failing",
    )
    more = ask(runtime, f"/api/apps?limit=9&cursor={first['next']}").json()
    assert [each["app"] for each in more["apps"]] == ["faulty", "ready", "shop"]


def test_a_static_site_is_not_offline(runtime: Runtime) -> None:
    """A static site serves without a worker, which its state says, before any request for it."""
    assert ask(runtime, "/api/apps?limit=1").json()["apps"][0]["status"] == "static"
    [site] = ask(runtime, "/api/apps/@acme/site").json()["versions"]
    assert (site["status"], site["workers"]) == ("static", 0)


def test_one_app(runtime: Runtime) -> None:
    """Each version has its folder, its manifest without the values of variables, and its faults."""
    told = ask(runtime, "/api/apps/shop").json()
    old, new = told["versions"]
    assert (told["active"], old["active"], new["active"]) == ("1.1.0", False, True)
    assert new["folder"].endswith("/shop/1.1.0")
    assert (new["manifest"]["env"], new["manifest"]["hosts"]) == (["GREETING"], ["shop.test"])
    assert (old["entrypoint"], old["static"], old["error"]) == ("app.py", False, None)
    [faulty] = ask(runtime, "/api/apps/faulty").json()["versions"]
    assert "ttl" in faulty["error"]
    [site] = ask(runtime, "/api/apps/@acme/site").json()["versions"]
    assert (site["version"], site["static"], site["active"]) == (None, True, True)
    answer = ask(runtime, "/api/apps/nobody")
    assert (answer.status, answer.error["code"]) == (404, "app_not_found")


def test_the_cold_start(runtime: Runtime) -> None:
    """How long the last boot took, and the slowest of its imports, by package."""
    fetch(runtime, "/shop/")
    cold = ask(runtime, "/api/apps/shop").json()["versions"][1]["coldStart"]
    assert cold["bootMs"] > 0
    assert [*cold["imports"][0]] == ["name", "ms", "modules"]
    assert "app" in [each["name"] for each in cold["imports"]]


def test_the_last_error(runtime: Runtime) -> None:
    """The last error is kept with its stack: of a boot, or of a request with its id."""
    fetch(runtime, "/failing/")
    [version] = ask(runtime, "/api/apps/failing").json()["versions"]
    error = version["lastError"]
    assert (error["kind"], error["requestId"]) == ("boot", None)
    assert "missing_module" in error["message"]
    assert "import missing_module" in error["stack"]
    assert version["bootFailures"] >= 1
    request_id = fetch(runtime, "/shop/fail").headers["x-request-id"]
    error = ask(runtime, "/api/apps/shop").json()["versions"][1]["lastError"]
    assert (error["kind"], error["requestId"]) == ("request", request_id)
    assert 'raise ValueError("no luck")' in error["stack"]


def test_sleep(runtime: Runtime) -> None:
    """An app's idle workers end, except those to be kept ready; the next request starts one."""
    fetch(runtime, "/shop/")
    wait_until(lambda: workers_of(runtime, "shop", status="idle"))
    dry = ask(runtime, "/api/apps/shop/sleep?dryRun=1", "POST").json()["ended"]
    answer = ask(runtime, "/api/apps/shop/sleep", "POST")
    assert (answer.status, answer.json()["ended"]) == (202, dry)
    assert len(dry) == 1
    wait_until(lambda: not workers_of(runtime, "shop"))
    assert fetch(runtime, "/shop/").status == 200
    wait_until(lambda: workers_of(runtime, "ready", status="idle"))
    assert ask(runtime, "/api/apps/ready/sleep", "POST").json() == {"ended": []}
    assert ask(runtime, "/api/apps/nobody/sleep", "POST").status == 404


def test_maintenance(apps: Path, tmp_path: Path) -> None:
    """A closed app answers 503, with a page for people, also after a restart, until opened."""
    tmp_path.chmod(0o711)
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(tmp_path)}
    told = {"message": "back <soon>", "retryAfterSeconds": 77}
    with running(apps, env=env) as runtime:
        since = close(runtime, told)
        assert runtime.stop() == 0
    with running(apps, env=env) as again:
        wait_until(lambda: fetch(again, "/shop/").status == 503)
        for _ in range(2):  # the second one changes nothing, and is not in the audit trail
            assert ask(again, MAINTENANCE, "DELETE").json() == {"app": "shop", "maintenance": None}
        assert fetch(again, "/shop/").status == 200
        noted = ask(again, "/api/audit?app=shop").json()["entries"]
    last = {"message": "this app is being worked on; try again later", "retryAfterSeconds": 300}
    states = [None, told | {"since": since}, last | {"since": since}, None]
    assert [(each["before"], each["after"]) for each in noted if "open" in each["action"]] == [
        (states[2], None)
    ]
    assert [(each["before"], each["after"]) for each in noted if "close" in each["action"]] == [
        (states[1], states[2]),
        (states[0], states[1]),
    ]


def close(runtime: Runtime, told: dict[str, object]) -> object:
    """Close the shop; returns since when it is closed."""
    path = MAINTENANCE
    assert ask(runtime, f"{path}?dryRun=1", "PUT", told).status == 200
    assert fetch(runtime, "/shop/").status == 200
    answer = ask(runtime, path, "PUT", told)
    since = answer.json()["maintenance"].pop("since")
    assert answer.json() == {"app": "shop", "maintenance": told | {"since": since}}
    refused = fetch(runtime, "/shop@1.0.0/")
    assert (refused.status, refused.error["code"]) == (503, "maintenance")
    assert refused.headers["retry-after"] == "77"
    page = fetch(runtime, "/", headers={"Host": "shop.test", "Accept": "text/html"})
    assert (page.status, "back &lt;soon&gt;" in page.body.decode()) == (503, True)
    assert fetch(runtime, "/ready/").status == 200
    assert ask(runtime, "/api/apps/shop").json()["maintenance"]["since"] == since
    assert [each["maintenance"] for each in ask(runtime, "/api/apps").json()["apps"]].count(True)
    assert ask(runtime, path, "PUT").json()["maintenance"]["since"] == since
    for method in ("PUT", "GET", "DELETE"):
        assert ask(runtime, "/api/apps/nobody/maintenance", method).status == 404
    assert ask(runtime, path, "PUT", {"retryAfterSeconds": 0}).status == 400
    return since
