"""Each mistake with an app is reported: what is wrong, where, and what to do, in the terminal, the
log, the page and the panel alike."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from buntime.core.telemetry.prettylines import pretty_line
from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, running, wait_until
from tests.support.mistakes import (
    APPS,
    FOLDERS,
    PLACES,
    REQUESTS,
    UNSTARTED,
    WELL,
    Told,
)
from tests.support.runs import run

LATE = "loads-for-ever"  # has a runtime of its own, since all others may take long to load


class Seen(NamedTuple):
    """A runtime with all these apps, and what is said about them elsewhere."""

    runtime: Runtime
    apps: Path
    terminal: str  # of `buntime check`
    pages: Mapping[str, str]
    panel: Mapping[str, str]  # what needs attention, by app

    def text(self, place: str, app: str, event: str) -> str:
        if place == "log":
            return self.log(app, event)
        if place == "terminal":
            lines = re.findall(rf"^{app}: .*\n(?:    .*\n)*", self.terminal, re.MULTILINE)
            return "".join(lines)
        return (self.pages if place == "page" else self.panel)[app]

    def log(self, app: str, event: str) -> str:
        """The record as people read it, without those of other apps."""

        def is_it(record: Mapping[str, Any]) -> bool:
            path = str(record.get("path")).strip("/")
            return bool(record["event"] == event and app in (record.get("app"), path))

        wait_until(lambda: any(map(is_it, [*self.runtime.records])), what=f"{event} of {app}")
        return shown(next(filter(is_it, [*self.runtime.records])))

    def check(self, text: str, told: Told, app: str = "") -> None:
        """All parts of the message are there."""
        for piece in told:
            wanted = piece.format(folder=self.apps / app, app=app, apps=self.apps)
            assert wanted in text, f"{wanted!r} is not in:\n{text}"


def shown(record: Mapping[str, Any]) -> str:
    """A record as people read it, without the quotes around values with blanks."""
    values = " ".join(f"{key}={value}" for key, value in record.items())
    return f"{pretty_line(record, False)}\n{values}"


def page_of(answer: Answer) -> str:
    """The words of a page for people."""
    assert "text/html" in answer.headers["content-type"]
    return html.unescape(
        re.sub(r"<style>.*?</style>|<[^>]*>", " ", answer.body.decode(), flags=re.S)
    )


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    root = tmp_path_factory.mktemp("late")
    write(root / "apps" / LATE, APPS[LATE].files)
    checked = run("check", "apps", "--boot-timeout", "1s", cwd=root)
    env = {"RUNTIME_ENV": "development", "RUNTIME_BOOT_TIMEOUT": "1s"}
    with running(root / "apps", env=env) as runtime:
        yield look(runtime, root / "apps", checked.stdout, [LATE])


def look(runtime: Runtime, apps: Path, terminal: str, names: Iterable[str]) -> Seen:
    """Requests each of these apps, and then asks what needs attention."""
    pages = {}
    for name in names:
        answer = fetch(runtime, f"/{name}/", headers={"Accept": "text/html"})
        assert answer.status == 500, name
        pages[name] = page_of(answer)
    items = fetch(runtime, "/api/attention").json()["items"]
    panel = {
        each["app"]: " ".join(filter(None, (each["text"], each["hint"], each["command"])))
        for each in items
    }
    return Seen(runtime, apps, terminal, pages, panel)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    root = tmp_path_factory.mktemp("mistakes")
    faulty, apps = root / "faulty", root / "apps"
    known = [name for name in APPS if name != LATE]
    for name in known:
        write(faulty / name, APPS[name].files)
    for name, unstarted in UNSTARTED.items():
        write(faulty / name, {"app.py": "", "buntime.yaml": unstarted.text})
    for name, asked in REQUESTS.items():
        write(faulty / name, {"app.py": asked.code, "buntime.yaml": asked.manifest})
    for files, *_ in FOLDERS.values():
        write(apps, files)
    for name, well in WELL.items():
        write(apps / name, well)
    (root / "config.yaml").write_text("plugins: {cpanle: {enabled: true}}\n")
    checked = run("check", "faulty", cwd=root)
    env = {"RUNTIME_ENV": "development", "RUNTIME_CONFIG": str(root / "config.yaml")}
    with running(apps, faulty, env=env) as runtime:
        yield look(runtime, faulty, checked.stdout, [*known, *UNSTARTED])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("app", APPS)
def test_apps(app: str, place: str, request: pytest.FixtureRequest) -> None:
    """An app that cannot be served: what, where, what to do."""
    mistake, seen = APPS[app], request.getfixturevalue("late" if app == LATE else "seen")
    seen.check(seen.text(place, app, mistake.event), mistake.told(place), app)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("app", UNSTARTED)
def test_apps_that_cannot_be_started(app: str, place: str, seen: Seen) -> None:
    """An app that can get no worker: the same."""
    seen.check(seen.text(place, app, UNSTARTED[app].event), UNSTARTED[app].told, app)


def test_commands_that_tell_of_it(seen: Seen, tmp_path: Path) -> None:
    """`buntime list` and `status` say why an app without workers has none."""
    env = {"HOME": str(tmp_path), "BUNTIME_KEY": str(seen.runtime.operators_key)}
    listed = run("list", "--to", seen.runtime.url, "--json", cwd=tmp_path, env=env)
    assert listed.returncode == 0, listed.stdout
    notes = {each["app"]: each["bootError"] for each in json.loads(listed.stdout)["apps"]}
    told = run("status", "--to", seen.runtime.url, cwd=tmp_path, env=env).stdout
    for app, (_, (what, *_), _) in UNSTARTED.items():
        assert what in notes[app]
        [line] = [line for line in told.splitlines() if f"{app} does not load: " in line]
        assert what in line


@pytest.mark.parametrize("app", REQUESTS)
def test_requests(app: str, seen: Seen) -> None:
    """A request that goes wrong: the page and the log say the same."""
    asked = REQUESTS[app]
    answer = fetch(
        seen.runtime,
        f"/{app}/",
        method="POST" if asked.body else "GET",
        body=asked.body or None,
        headers={"Accept": "text/html"},
    )
    assert answer.status == asked.status, answer
    seen.check(page_of(answer), asked.page, app)
    if asked.log is not None:
        seen.runtime.wait_for_record(asked.event, app=app)
        seen.check(seen.log(app, asked.event), asked.log, app)


@pytest.mark.parametrize("mistake", FOLDERS)
def test_folders(mistake: str, seen: Seen) -> None:
    """The log reports a folder that is skipped as a whole or in part."""
    _, event, told = FOLDERS[mistake]
    text = "\n".join(shown(each) for each in seen.runtime.records if each["event"] == event)
    seen._replace(apps=seen.apps.parent / "apps").check(text, told)


@pytest.mark.parametrize("app", WELL)
def test_no_mistakes(app: str, seen: Seen) -> None:
    """What people fear to be a mistake, and is none."""
    assert fetch(seen.runtime, f"/{app}/").body == b"hello"


def test_the_runtime_itself(seen: Seen) -> None:
    """A misspelled plugin in the config file, an untrusted proxy, and an unknown app."""
    record = seen.runtime.wait_for_record("config.unknown_plugin")
    seen.check(shown(record), Told("no plugin cpanle", "config.yaml:1", "did you mean cpanel?"))
    fetch(seen.runtime, "/windows/", headers={"X-Forwarded-For": "203.0.113.7"})
    record = seen.runtime.wait_for_record("proxy.untrusted")
    told = Told("forwarding headers ignored", "client=127.0.0.1", "set RUNTIME_TRUSTED_PROXIES=")
    seen.check(shown(record), told)
    page = page_of(fetch(seen.runtime, "/shpo/", headers={"Accept": "text/html"}))
    seen.check(page, Told("there is no app", "/shpo", "buntime list"))


def test_there_are_many() -> None:
    """The table is long, and each text has three parts."""
    mistakes = [app.told(place) for app in APPS.values() for place in PLACES]
    mistakes += [each.told for each in UNSTARTED.values()]
    mistakes += [each.page for each in REQUESTS.values()]
    mistakes += [told for *_, told in FOLDERS.values()]
    assert all(all(told) for told in mistakes)
    assert len(APPS) + len(UNSTARTED) + len(REQUESTS) + len(FOLDERS) >= 40
