"""The example apps of the repository do what they say, served from an unchanged copy of apps/."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.client import fetch
from tests.support.harness import ROOT, Runtime, running, wait_until
from tests.support.hosting import curl
from tests.support.pluginfolders import post

HTML = {"accept": "text/html"}
NAMES = {
    "chat",
    "clock",
    "guestbook",
    "hello@1.0.0",
    "hello@2.0.0",
    "mirror",
    "pulse",
    "site",
    "todos",
}


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, since some of the examples write into their folder."""
    ignored = shutil.ignore_patterns("data", "__pycache__")
    return shutil.copytree(ROOT / "apps", tmp_path_factory.mktemp("copy") / "apps", ignore=ignored)


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    # More connections than the limit of open files allows would give a warning, and so would
    # plugins of this checkout beside those that are part of a .pyz or binary.
    plugins = apps.parent / "plugins"
    plugins.mkdir()
    env = {"RUNTIME_CONNECTIONS_MAX": "100", "RUNTIME_PLUGIN_DIRS": str(plugins)}
    with running(apps, env=env) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def http(runtime: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=runtime.url, trust_env=False, timeout=20, verify=False) as client:
        yield client


def test_all_are_served(runtime: Runtime) -> None:
    """Each example is announced, and none causes a warning."""
    assert set(runtime.wait_for_record("runtime.listening")["apps"]) == NAMES
    assert [record for record in runtime.records if record["level"] in ("warn", "error")] == []


def test_each_is_tested_here() -> None:
    """Each example has a test, so a new one needs one too."""
    folders = {path.name for path in (ROOT / "apps").iterdir() if path.is_dir()}
    assert folders == {name.partition("@")[0] for name in NAMES}


# hello


def test_hello_1(http: httpx.Client) -> None:
    """The first version greets with text, in a worker for each request."""
    assert http.get("/hello@1/").text == "Hello, world!\n"
    assert http.get("/hello@1.0.0/?name=Zoë").text == "Hello, Zoë!\n"


def test_hello_2(http: httpx.Client) -> None:
    """The second version is the default, and greets programs with JSON."""
    for base in ("/hello", "/hello@2", "/hello@latest", "/hello@^2.0.0"):
        assert http.get(f"{base}/?name=Ada").json() == {"hello": "Ada"}


def test_hello_page(http: httpx.Client) -> None:
    """Browsers get a page, and visitors cannot put markup into it."""
    page = http.get("/hello/?name=<b>Ada", headers=HTML)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Hello, &lt;b&gt;Ada!</h1>" in page.text


# todos


def test_todos(http: httpx.Client, apps: Path) -> None:
    """To-dos are added, completed, listed and removed by the JSON API, and are kept in the file."""
    assert http.get("/todos/api/todos").json() == []
    added = http.post("/todos/api/todos", json={"title": " Water the plants "})
    todo = {"id": 1, "title": "Water the plants", "done": False}
    assert (added.status_code, added.json()) == (201, todo)
    assert added.headers["location"] == "/todos/api/todos/1"
    http.post("/todos/api/todos", json={"title": "Rest"}).raise_for_status()
    done = http.patch(added.headers["location"], json={"done": True})
    assert done.json() == {**todo, "done": True}
    titles = [(each["title"], each["done"]) for each in http.get("/todos/api/todos").json()]
    assert titles == [("Water the plants", True), ("Rest", False)]
    removed = http.delete("/todos/api/todos/1")
    assert (removed.status_code, removed.content) == (204, b"")
    assert [each["id"] for each in http.get("/todos/api/todos").json()] == [2]
    with sqlite3.connect(apps / "todos" / "data" / "todos.db") as db:
        assert db.execute("SELECT title FROM todos").fetchall() == [("Rest",)]
    db.close()


def test_todos_refusals(http: httpx.Client) -> None:
    """Invalid input is refused, with the reason."""
    assert http.post("/todos/api/todos", json={"title": ""}).status_code == 400
    assert http.post("/todos/api/todos", json=["title"]).status_code == 400
    assert http.post("/todos/api/todos", content=b"{").status_code == 400
    assert http.patch("/todos/api/todos/99", json={"done": True}).status_code == 404
    assert http.delete("/todos/api/todos/99").status_code == 404
    assert http.put("/todos/api/todos/99").status_code == 405
    assert http.post("/todos/api/todos", content=b"x" * 20_000).status_code == 413


@pytest.mark.parametrize("path", ["/todos", "/todos/"])
def test_todos_page(http: httpx.Client, path: str) -> None:
    """The page's relative links work with and without the slash after the name."""
    page = http.get(path, headers=HTML)
    assert page.status_code == 200
    assert '<base href="/todos/">' in page.text


# chat


def test_chat(runtime: Runtime, http: httpx.Client) -> None:
    """Two in a room see each other's messages, arrivals and departures; a third does not."""
    url = f"ws://127.0.0.1:{runtime.port}/chat/socket"
    with connect(f"{url}?room=tea&name=Ada", proxy=None) as ada:
        assert heard(ada) == ("joined", "Ada", ["Ada"])
        ada.send(" Is somebody there? ")
        assert heard(ada) == ("said", "Ada", "Is somebody there?")
        with connect(f"{url}?room=cake&name=Eve", proxy=None) as eve:
            assert heard(eve) == ("joined", "Eve", ["Eve"])
            with connect(f"{url}?room=tea&name=Zo%C3%AB", proxy=None) as zoe:
                assert heard(zoe) == ("said", "Ada", "Is somebody there?")
                assert heard(zoe) == heard(ada) == ("joined", "Zoë", ["Ada", "Zoë"])
                assert http.get("/chat/rooms").json() == {"tea": ["Ada", "Zoë"], "cake": ["Eve"]}
                zoe.send("I am.")
                assert heard(zoe) == heard(ada) == ("said", "Zoë", "I am.")
            assert heard(ada) == ("left", "Zoë", ["Ada"])
            with pytest.raises(TimeoutError):
                eve.recv(timeout=0)
    wait_until(lambda: http.get("/chat/rooms").json() == {})


def heard(ws: ClientConnection) -> tuple[str, str, object]:
    told = json.loads(ws.recv(timeout=10))
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["time"])) < timedelta(minutes=1)
    return told["kind"], told["name"], told.get("text") or told["members"]


def test_chat_refusals(runtime: Runtime, http: httpx.Client) -> None:
    """It refuses a client without a name, and closes for messages that are not text or too long."""
    url = f"ws://127.0.0.1:{runtime.port}/chat/socket"
    for query, status in (("?room=tea", 400), ("?room=tea&name=" + "x" * 41, 400), ("/more", 404)):
        with pytest.raises(InvalidStatus) as caught, connect(url + query, proxy=None):
            pass
        assert caught.value.response.status_code == status
    for message, code in ((b"bytes", 1003), ("x" * 2001, 1009)):
        with connect(f"{url}?room=tea&name=Ada", proxy=None) as ada:
            assert heard(ada)[0] == "joined"
            ada.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                ada.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == code
    assert http.get("/chat/socket").status_code == 404


def test_chat_page(http: httpx.Client) -> None:
    """The page's links stay with the app."""
    assert '<base href="/chat/">' in http.get("/chat", headers=HTML).text
    assert '<base href="/chat@latest/">' in http.get("/chat@latest/", headers=HTML).text


# clock


def test_clock_streams(runtime: Runtime) -> None:
    """The time comes once a second, each line when it is due and not all at the end."""
    with httpx.stream(
        "GET", f"{runtime.url}/clock/?count=2", trust_env=False, verify=False
    ) as answer:
        lines = answer.iter_lines()
        first = datetime.fromisoformat(next(lines))
        began = time.monotonic()
        second = datetime.fromisoformat(next(lines))
        assert time.monotonic() - began > 0.5
        assert list(lines) == []
    assert timedelta(0) < second - first <= timedelta(seconds=2)
    assert abs(datetime.now(UTC) - second) < timedelta(seconds=10)


def test_clock_events(http: httpx.Client) -> None:
    """Browsers get it as server-sent events."""
    answer = http.get("/clock/events?count=1")
    assert answer.headers["content-type"] == "text/event-stream"
    assert re.fullmatch(r"data: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n\n", answer.text)


def test_clock_page(http: httpx.Client) -> None:
    """Browsers get a page whose links stay with the app; a wrong count is refused."""
    assert '<base href="/clock/">' in http.get("/clock/", headers=HTML).text
    assert http.get("/clock/?count=many").status_code == 400
    assert http.get("/clock/nowhere").status_code == 404


# site


def test_site(http: httpx.Client) -> None:
    """The page has a base, and everything it links to exists and has the right type."""
    page = http.get("/site/", headers=HTML)
    assert '<base href="/site/">' in page.text
    links = re.findall(r'<(?:link|script)[^>]+(?:href|src)="([^"]+)"', page.text)
    types = {link: http.get(urljoin("/site/", link)).headers["content-type"] for link in links}
    assert sorted(types) == ["site.js", "style.css"]
    assert types["style.css"].startswith("text/css")
    assert types["site.js"].startswith("text/javascript")


def test_site_without_slash(http: httpx.Client) -> None:
    """The name without a slash redirects to the site."""
    answer = http.get("/site?x=1", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (308, "/site/?x=1")


@pytest.mark.parametrize("path", ["/site/gardens/roses", "/site/about"])
def test_site_fallback(http: httpx.Client, path: str) -> None:
    """A navigation to a path that is not a file gets the page, with the same base."""
    answer = http.get(path, headers=HTML)
    assert (answer.status_code, answer.text) == (200, http.get("/site/", headers=HTML).text)


def test_site_has_no_fallback_for_programs(http: httpx.Client) -> None:
    """A missing script is a 404, not a page."""
    assert http.get("/site/missing.js").status_code == 404
    assert http.get("/site/gardens/roses", headers={"accept": "application/json"}).is_error


def test_site_starts_no_worker(runtime: Runtime, http: httpx.Client) -> None:
    """The runtime serves the files itself."""
    request_id = http.get("/site/style.css").headers["x-request-id"]
    assert runtime.wait_for_record("request.access", request_id=request_id)["worker"] is None


# guestbook


def test_guestbook(runtime: Runtime, http: httpx.Client) -> None:
    """After signing, a visitor is redirected to the page, which shows the entry, escaped."""
    url = runtime.url + "/guestbook/"
    assert "Be the first." in http.get(url).text
    told = curl("-L", "-d", "name=Zoë", "-d", "message=<b>I was here", url).decode()
    assert "<b>Zoë</b>" in told
    assert "<p>&lt;b&gt;I was here</p>" in told
    signed = http.post(url, data={"name": "Ada", "message": "Hi"})
    assert (signed.status_code, signed.headers["location"]) == (303, "/guestbook/")


def test_guestbook_refusals(http: httpx.Client) -> None:
    """It refuses an empty message, another method, another path, and too much."""
    assert http.post("/guestbook/", data={"name": "Ada"}).status_code == 400
    assert http.put("/guestbook/").status_code == 405
    assert http.get("/guestbook/more").status_code == 404
    assert http.post("/guestbook/", content=b"x" * 20_000).status_code == 413


# mirror


def test_mirror(http: httpx.Client) -> None:
    """It shows the request, with root_path, and hides what others must not read."""
    secret = {"authorization": "Basic c2VjcmV0", "x-note": "seen"}
    seen = http.post("/mirror/some/p%C3%A4th?a=1", content=b"a body", headers=secret).json()
    assert seen["method"] == "POST"
    assert (seen["root_path"], seen["path"]) == ("/mirror", "/mirror/some/päth")
    assert (seen["query_string"], seen["body_bytes"]) == ("a=1", 6)
    headers = dict(seen["headers"])
    assert (headers["x-note"], headers["authorization"]) == ("seen", "(hidden)")
    assert headers["x-base"] == "/mirror"


def test_mirror_keeps_its_worker(http: httpx.Client) -> None:
    """One worker counts everyone's requests."""
    first, second = (http.get("/mirror/").json()["worker"] for _ in range(2))
    assert first["started"] == second["started"] is not None
    assert second["requests"] == first["requests"] + 1


# all of them


def test_commands_in_docstrings(runtime: Runtime, apps: Path) -> None:
    """The curl commands in an example's first lines work as written there."""
    done = 0
    for path in sorted(apps.rglob("*.py")):
        text = path.read_text("utf-8").split('"""')[1]
        for line in re.findall(r"(?m)^ *curl (.+)$", text):
            if "/clock/" in line or "/todos/1" in line:
                continue  # runs for long or never ends; needs a to-do that is gone by now
            words = shlex.split(line.replace("http://localhost:8000", runtime.url))
            curl("--fail", *words)
            done += 1
    assert done >= 10


def test_nothing_went_wrong(runtime: Runtime) -> None:
    """After all of the above, no example has written to stderr or failed."""
    assert [record for record in runtime.records if record.get("stream") == "stderr"] == []
    assert [record for record in runtime.records if record["level"] == "error"] == []


# pulse


def test_pulse(http: httpx.Client, runtime: Runtime) -> None:
    """Its jobs run: the page shows the beat, which only the job makes, and the log the report."""
    assert http.post("/pulse/beat", headers={"X-Buntime-Cron": "beat"}).status_code == 404
    wait_until(lambda: len(fetch(runtime, "/api/cron").json()["jobs"]) == 2)
    assert post(runtime, "/api/apps/pulse/cron/beat/run").status == 202
    runtime.wait_for_record("cron.done", app="pulse", job="beat", detail="204")
    assert " beat\n" in http.get("/pulse/").text
    assert post(runtime, "/api/apps/pulse/cron/report/run").status == 202
    runtime.wait_for_record("cron.done", app="pulse", job="report", detail="exit code 0")
    told = runtime.wait_for_record("app.output", app="pulse", worker="cron:report")
    assert told["message"].startswith("report of /")
