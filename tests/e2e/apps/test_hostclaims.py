"""A host stays with the app that had it first, also over a restart, until an operator moves it."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

from tests.support.client import Answer, fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, wait_until, write_app
from tests.support.manager import service
from tests.support.rawclient import RawClient
from tests.support.runs import run

HOST = {"Host": "x.example.com"}
PAGE = "/api/hosts/x.example.com"
APP = "from buntime import Response\ndef fetch(request): return Response('{}')\n"


def answer(runtime: Runtime) -> str:
    got = fetch(runtime, "/", headers=HOST)
    return got.body.decode() if got.status == 200 else str(got.status)


def test_a_host_stays(tmp_path: Path) -> None:
    """No other app gets it by naming it while its app is away."""
    apps, config = tmp_path / "apps", tmp_path / "config.yaml"
    (tmp_path / "state").mkdir()
    config.write_text("")
    shop = write_app(apps / "shop", {"app.py": APP.format("shop")}, hosts=["x.example.com"])
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(tmp_path / "state"),
        "RUNTIME_CONFIG": str(config),
    }
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "shop")
        wait_until(lambda: get(runtime, "/api/hosts/x.example.com")["since"], what="it is kept")
    shop.rename(tmp_path / "away")
    write_app(apps / "a-thief", {"app.py": APP.format("thief")}, hosts=["x.example.com"])
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "404")
        assert runtime.wait_for_record("host.disputed")["ignored"] == "a-thief"
        (tmp_path / "away").rename(shop)
        wait_until(lambda: answer(runtime) == "shop")
        config.write_text(json.dumps({"apps": {"a-thief": {"hosts": ["x.example.com"]}}}))
        runtime.process.send_signal(signal.SIGHUP)
        wait_until(lambda: answer(runtime) == "thief")
        assert runtime.wait_for_record("host.moved")["before"] == "shop"


def test_the_first_request_of_a_start(tmp_path: Path) -> None:
    """A request that waits in the socket when the runtime starts is not answered by an app that
    would have the host if nothing had been kept."""
    apps, state = tmp_path / "apps", tmp_path / "state"
    env = {"RUNTIME_STATE_DIR": str(state), "RUNTIME_MASTER_KEY": OPERATORS_KEY}
    shop = write_app(apps / "shop", {"app.py": APP.format("shop")}, hosts=["x.example.com"])
    with socket.create_server(("127.0.0.1", 0)) as sock:

        def answered_first() -> tuple[int, bytes]:
            """Of a request that is sent before the runtime starts."""
            with socket.create_connection(sock.getsockname(), timeout=20) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x.example.com\r\n\r\n")
                with service(apps, sockets=[sock], env=env) as runtime:
                    reply = RawClient(client).read()
                    wait_until(lambda: get(runtime, PAGE)["since"], what="it is kept")
            return reply.status, reply.body

        assert answered_first() == (200, b"shop")
        write_app(apps / "a-thief", {"app.py": APP.format("thief")}, hosts=["x.example.com"])
        for _ in range(3):
            assert answered_first() == (200, b"shop")
        shop.rename(tmp_path / "away")
        assert answered_first()[0] == 404


def test_operators_move_hosts(tmp_path: Path) -> None:
    """Operators see which app has a host, since when, by which file, and which others want it; a
    move outlives a restart. No app gets a host that it does not name, or that the config file has
    given away."""
    apps, config = tmp_path / "apps", tmp_path / "config.yaml"
    (tmp_path / "state").mkdir()
    config.write_text(json.dumps({"apps": {"given": {"hosts": ["given.example.com"]}}}))
    hosts = ["x.example.com", "*.x.example.com", "given.example.com"]
    for name in ("old", "new", "other", "given"):
        named = {} if name in ("other", "given") else {"hosts": hosts}
        write_app(apps / name, {"app.py": APP.format(name)}, **named)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(tmp_path / "state"),
        "RUNTIME_CONFIG": str(config),
    }
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "new")  # the first by name
        told = get(runtime, "/api/hosts")
        assert [each["host"] for each in told["hosts"]] == sorted(hosts)
        shown = get(runtime, "/api/hosts/x.example.com")
        assert (shown["app"], shown["wantedBy"], shown["isNamed"]) == ("new", ["old"], True)
        assert shown["manifest"] == str(apps / "new/buntime.yaml")
        wait_until(lambda: get(runtime, "/api/hosts/x.example.com")["since"], 5, "it is kept")
        given = get(runtime, "/api/hosts/given.example.com")
        assert (given["app"], given["isGiven"], given["wantedBy"]) == (
            "given",
            True,
            ["new", "old"],
        )
        for host, app, code in (
            ("x.example.com", "other", "host_not_named"),
            ("x.example.com", "none", "host_not_named"),
            ("given.example.com", "old", "host_given"),
            ("y.example.com", "old", "host_not_found"),
        ):
            assert move(runtime, host, app).json()["error"]["code"] == code
        assert move(runtime, "x.example.com", "old", "?dryRun=1").json()["app"] == "old"
        assert answer(runtime) == "new"
        words = ("hosts", "move", "X.example.com", "old")
        to = {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": OPERATORS_KEY}
        done = run(*words, cwd=tmp_path, env=to)
        assert done.stdout == "x.example.com is old's; it was new's\n", done.stderr
        assert answer(runtime) == "old"
        assert move(runtime, "*.x.example.com", "old").status == 200
        listed = run("hosts", cwd=tmp_path, env=to).stdout.splitlines()
        assert listed[0].split() == ["HOST", "APP", "SINCE", "WANTED", "BY"]
        assert [line.split()[:2] for line in listed[1:]] == [
            *(["*.x.example.com", "old"], ["given.example.com", "given"], ["x.example.com", "old"])
        ]
        (entry,) = get(runtime, "/api/audit?action=hosts.move&app=old&limit=1")["entries"]
        assert (entry["subject"], entry["before"], entry["after"]) == (
            *("*.x.example.com", {"app": "new"}, {"app": "old"}),
        )
        body = json.dumps({"name": "k", "roles": ["viewer"], "apps": ["new"]}).encode()
        json_type = {"Content-Type": "application/json", "X-API-Key": OPERATORS_KEY}
        made = fetch(runtime, "/api/keys", method="POST", body=body, headers=json_type)
        seen = get(runtime, "/api/hosts", made.json()["key"])["hosts"]
        assert [(each["app"], each["wantedBy"]) for each in seen] == [("another app", ["new"])] * 3
    with running(apps, env=env) as runtime:
        wait_until(lambda: answer(runtime) == "old")


def get(runtime: Runtime, path: str, key: str = OPERATORS_KEY) -> Any:
    got = fetch(runtime, path, headers={"X-API-Key": key})
    assert got.status == 200, got.body
    return got.json()


def move(runtime: Runtime, host: str, app: str, query: str = "") -> Answer:
    return fetch(
        runtime,
        f"/api/hosts/{host}/move{query}",
        method="POST",
        body=json.dumps({"app": app}).encode(),
        headers={"X-API-Key": OPERATORS_KEY, "Content-Type": "application/json"},
    )
