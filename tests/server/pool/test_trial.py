"""`buntime check`: apps are loaded once, a few at a time, and each gets a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.commands.check import Doubts, Seen, lines_of
from buntime.core.telemetry.records import Level
from buntime.server.pool.trial import Trial, Verdict, find_apps
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import write_app
from tests.support.settings import make_settings

GOOD = "def fetch(request):\n    return 'hello'\n"


def verdicts(folder: Path, sink: FakeSink | None = None, **variables: str) -> dict[str, Verdict]:
    """The verdicts on the apps in the folder, in the order in which they came."""
    settings = make_settings(folder, RUNTIME_SPARE_WORKERS="0", **variables)
    log = make_log(sink or FakeSink())
    told: list[Verdict] = []
    Trial(settings, log, told.append, at_once=2).run(find_apps(settings, log.warn))
    return {each.key: each for each in told}


def test_each_app_gets_a_verdict(tmp_path: Path) -> None:
    """An app that loads, one that does not, a static one and a faulty folder get theirs in
    order."""
    write_app(tmp_path / "bad", {"app.py": "raise RuntimeError('a bad deploy')\n"})
    write_app(tmp_path / "faulty", {"app.py": GOOD}, ttl="soon")
    write_app(tmp_path / "good", {"app.py": GOOD})
    write_app(tmp_path / "site", {"index.html": "<p>hello"})
    found = verdicts(tmp_path)
    assert list(found) == ["bad", "faulty", "good", "site"]
    assert "a bad deploy" in found["bad"].error
    assert "ttl" in found["faulty"].error
    assert found["good"].error == found["site"].error == ""
    assert found["good"].python is not None
    assert found["site"].python is None


def test_variables_that_are_kept_from_an_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app that misses a variable is told which ones the runtime has; withheld ones in a manifest
    cause a warning."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hunter2@db")
    monkeypatch.setenv("SENTRY_DSN", "https://hunter2@sentry")
    get = "import os\nos.environ[{!r}]\n" + GOOD.replace("{", "{{").replace("}", "}}")
    write_app(tmp_path / "other", {"app.py": get.format("SENTRY_DSN")})
    env = {"PGPASSWORD": "hunter2", "DB_URL": "hunter2"}
    write_app(tmp_path / "shop", {"app.py": get.format("DATABASE_URL")}, env=env)
    sink = FakeSink()
    found = verdicts(tmp_path, sink=sink)
    assert "KeyError: 'DATABASE_URL'" in found["shop"].error
    assert "the runtime has DATABASE_URL, which the error names" in found["shop"].note
    assert "DB_URL" in found["shop"].note
    assert "the runtime has SENTRY_DSN, which the error names" in found["other"].note
    [app] = [
        each
        for each in find_apps(make_settings(tmp_path), make_log(FakeSink()).warn)
        if each.key == "shop"
    ]
    *_, line = lines_of(found["shop"], Seen(app, Doubts(), ()))
    assert (line.mark, line.text[:28]) == ("WARNING", "the runtime has DATABASE_URL")
    missed = [each for each in sink.records if each.event == "app.variables_missed"]
    assert [each.level for each in missed] == [Level.WARN, Level.WARN]
    warned = [each.message for each in sink.records if each.event == "manifest.warning"]
    assert len(warned) == 1
    assert "env: DB_URL, PGPASSWORD: this looks like credentials" in warned[0]
    assert "PGPASSWORD" in found["shop"].note
    assert "hunter2" not in f"{sink.records} {found}"


def test_a_framework_that_needs_a_worker_that_stays(tmp_path: Path) -> None:
    """The framework is named if the app has no such worker."""
    for name, ttl in (("session", 0), ("stays", 60)):
        files = {"app.py": "import shiny\n" + GOOD, "shiny/__init__.py": ""}
        write_app(tmp_path / name, files, ttl=ttl)
    sink = FakeSink()
    verdicts(tmp_path, sink)
    told = [each for each in sink.records if each.event == "app.needs_ttl"]
    assert [(each.fields["app"], each.fields["framework"]) for each in told] == [
        ("session", "Shiny")
    ]


def test_two_apps_of_one_host(tmp_path: Path) -> None:
    """Both apps are found, without being loaded, and named."""
    write_app(tmp_path / "blog", {"app.py": GOOD}, hosts=["example.com"])
    write_app(tmp_path / "shop", {"app.py": GOOD}, hosts=["example.com"])
    sink = FakeSink()
    find_apps(make_settings(tmp_path), make_log(sink).warn)
    [told] = [each.fields for each in sink.records if each.event == "host.disputed"]
    assert told == {"host": "example.com", "served": "blog", "ignored": "shop"}


def test_a_prewarmed_app_is_loaded_once(tmp_path: Path) -> None:
    """With `prewarm` a worker loads the app anyway, and that one gives the verdict."""
    code = "import pathlib\npathlib.Path(__file__).with_name('loads').open('a').write('x')\n"
    folder = write_app(tmp_path / "warm", {"app.py": code + GOOD}, ttl=60, prewarm=1)
    assert verdicts(tmp_path)["warm"].error == ""
    assert (folder / "loads").read_text() == "x"


def test_an_app_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict says where the app hangs, and what was withheld from it. Other apps are loaded
    meanwhile, and their verdicts follow in the apps' order."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hunter2@db")
    begin = "import os, time; open(os.path.dirname(__file__) + '/begun', 'w').close()\n"
    write_app(tmp_path / "a-slow", {"app.py": begin + "time.sleep(60)\n"})
    write_app(tmp_path / "c-dies", {"app.py": begin + "os._exit(3)\n"})
    write_app(tmp_path / "b-good", {"app.py": begin + GOOD})
    for limit_s in (1, 5, 25):  # a busy machine may take a second to come to the apps' code
        sink = FakeSink()
        found = verdicts(tmp_path, sink, RUNTIME_BOOT_TIMEOUT=f"{limit_s}s")
        if len([*tmp_path.glob("*/begun")]) == len(found):
            break
    slow, good, dies = found.values()
    said, _, stacks = slow.error.partition("\n")
    assert said == f"the app did not load in {limit_s} s; it is at app.py, line 2, in <module>"
    assert "app.py" in stacks
    assert slow.seconds >= limit_s
    assert dies.error == "the worker died while it loaded: exit code 3"
    for each in (slow, dies):
        assert each.note.startswith("kept from the app: ")
        assert "DATABASE_URL" in each.note
    assert (good.key, good.error, good.note) == ("b-good", "", "")
    events = sink.events()
    assert events.index("worker.ready") < events.index("app.boot_timeout")


def test_no_more_at_a_time(tmp_path: Path) -> None:
    """However many apps there are, only as many as asked for are loaded at the same time."""
    code = "import time\nprint(time.monotonic())\ntime.sleep(0.03)\nprint(time.monotonic())\n"
    for name in "abcde":
        write_app(tmp_path / name, {"app.py": code + GOOD})
    sink = FakeSink()
    assert list(verdicts(tmp_path, sink)) == [*"abcde"]
    times: dict[object, list[float]] = {}
    for record in sink.records:
        if record.event == "app.output":
            times.setdefault(record.fields["app"], []).append(float(record.message))
    assert len(times) == 5
    for begun, _ in times.values():
        assert sum(other <= begun <= end for other, end in times.values()) <= 2


def test_an_interpreter_that_cannot_be_started(tmp_path: Path) -> None:
    """A missing `python` is the manifest's fault."""
    write_app(tmp_path / "lost", {"app.py": GOOD}, python="/no/such/python")
    assert "/no/such/python" in verdicts(tmp_path)["lost"].error
