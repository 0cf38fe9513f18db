"""What a manifest sets for its deploys: `release`, `check`, `replace: after`, `keepVersions`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploying import AS_ROOT, Operator, app, packed
from tests.support.harness import Runtime, running, wait_until, write_app

CHECKED = """
from buntime import Response

def fetch(request):
    if request.path == "/healthz":
        return Response(STATUS_TEXT, STATUS)
    return Response(VERSION)
"""
# Holds a file as long as it runs, and refuses to load while another instance does.
ALONE = """
import fcntl, os
from buntime import Response

held = open(os.path.join(os.environ["APP_DATA_DIR"], "alone"), "a")
fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)

def fetch(request):
    return Response(f"{VERSION} {os.getpid()}")
"""


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production", **AS_ROOT}) as runtime:
        yield runtime


def test_release(operator: Operator, apps: Path) -> None:
    """The program runs before the version serves, its output comes as lines, and its failure is
    that of the deploy."""
    code = "print('migrated', flush=True)"
    files = {"app.py": "from buntime import Response\ndef fetch(r): return Response('1')"}
    good = packed({**files, "migrate.py": code}, ttl=600, release="python migrate.py")
    lines = operator.lines("released", "1.0.0", good)
    assert {"step": "releasing", "line": "migrated"} in lines
    assert [each["step"] for each in lines if "line" not in each][-3:] == [
        *("releasing", "booted", "active")
    ]
    files |= {"migrate.py": f"{code}\nraise SystemExit(3)"}
    bad = packed(files, release="python migrate.py")
    failed = operator.lines("released", "2.0.0", bad)[-1]
    assert (failed["failed"], failed["error"]["code"]) == ("releasing", "release_failed")
    assert "ended with 3" in failed["error"]["message"]
    assert failed["log"] == ["migrated"]
    assert operator.said("/released/") == "1"
    assert not os.path.lexists(apps / "released" / "2.0.0")


def test_check(operator: Operator, apps: Path) -> None:
    """The answer of its worker at `check` decides; the worker that was asked serves."""

    def answering(status: int) -> bytes:
        code = f"STATUS, STATUS_TEXT = {status}, 'x'\n{CHECKED}"
        return app("v", code=code, check="/healthz?deep=1")

    lines = operator.lines("checked", "1.0.0", answering(200))
    assert {"probed"} <= {each["step"] for each in lines}
    assert operator.said("/checked/") == "v"
    failed = operator.lines("checked", "2.0.0", answering(500))[-1]
    assert (failed["failed"], failed["error"]["code"]) == ("probed", "check_failed")
    assert "answered 500" in failed["error"]["message"]
    assert not os.path.lexists(apps / "checked" / "2.0.0")
    assert operator.said("/checked/") == "v"


def test_replace_after(operator: Operator, runtime: Runtime) -> None:
    """An app that must run only once ends before the next version loads, even if clients have
    sessions with it; requests wait, and none fails. If the next version cannot load, the former one
    starts again. The same holds for a rollback and its reversal."""
    manifest = {"replace": "after", "data": True, "ttl": 600, "affinity": "cookie"}
    assert operator.put("alone", "1.0.0", app("1", code=ALONE, **manifest)).status_code == 201
    done, answers = threading.Event(), set()

    def ask() -> None:
        with Operator(runtime).http as http:
            while not done.wait(0.01):
                answer = http.get("/alone/")
                answers.add(answer.text.split()[0] if answer.status_code == 200 else answer.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: answers == {"1"})
        told = operator.put("alone", "2.0.0", app("2", code=ALONE, **manifest))
        assert told.status_code == 201, told.text
        wait_until(lambda: answers == {"1", "2"})
        broken = operator.put("alone", "3.0.0", app("3", code=f"{ALONE}\n1/0", **manifest))
        assert broken.json()["error"]["code"] == "app_boot_failed"
        assert operator.said("/alone/").split()[0] == "2"
        told = operator.rollback("alone")
        assert told.status_code == 200, told.text
        assert operator.said("/alone/").split()[0] == "1"
        told = operator.activate("alone", "2.0.0")
        assert told.status_code == 200, told.text
        pid = operator.said("/alone/")
        assert operator.activate("alone", "2.0.0").status_code == 200
        assert operator.said("/alone/") == pid
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert answers == {"1", "2"}


def test_replace_after_in_a_folder(operator: Operator, apps: Path) -> None:
    """A version ends before a rollback starts the app's own folder."""
    manifest = {"replace": "after", "data": True, "ttl": 600}
    write_app(apps / "own", {"app.py": f"VERSION = 'own'\n{ALONE}"}, **manifest)
    told = operator.put("own", "1.0.0", app("1", code=ALONE, **manifest))
    assert told.status_code == 201, told.text
    assert operator.said("/own/").split()[0] == "1"
    assert operator.rollback("own").status_code == 200
    assert operator.said("/own/").split()[0] == "own"


def test_versions_that_are_kept(operator: Operator, apps: Path) -> None:
    """The oldest versions are removed, with their files."""
    for patch in range(4):
        site = packed({"index.html": f"{patch}"}, keepVersions=2)
        assert operator.put("kept", f"1.0.{patch}", site).status_code == 201
    wait_until(lambda: sorted(os.listdir(apps / "kept")) == ["1.0.2", "1.0.3", "latest"])
    files = apps / ".releases" / "kept"
    wait_until(lambda: len([*files.glob("1.0.*.json")]) == len([*files.glob("1.0.*-*/")]) == 2)
    assert operator.said("/kept/").endswith("3")
    assert operator.rollback("kept").json()["version"] == "1.0.2"


def test_how_many_versions_are_kept(operator: Operator, apps: Path) -> None:
    """Five are kept, unless the manifest says otherwise."""
    for patch in range(7):
        site = packed({"index.html": f"{patch}"})
        assert operator.put("usual", f"1.0.{patch}", site).status_code == 201
    kept = [*(f"1.0.{patch}" for patch in range(2, 7)), "latest"]
    wait_until(lambda: sorted(os.listdir(apps / "usual")) == kept)


def test_jobs_of_what_has_just_come(operator: Operator) -> None:
    """Jobs are listed and can be run once the deploy is done, even the very first ones."""
    for number in range(3):
        job = {"name": "tidy", "schedule": "0 3 * * *", "path": f"/{number}"}
        told = operator.put(f"jobs{number}", "1.0.0", app("1", cron=[job]))
        assert told.status_code == 201, told.text
        if number:
            run = operator.http.post(f"/api/apps/jobs{number}/cron/tidy/run")
            assert run.status_code == 202, run.text
        listed = operator.http.get("/api/cron").json()["jobs"]
        assert [each["app"] for each in listed] == [f"jobs{each}" for each in range(number + 1)]


def test_the_first_jobs(tmp_path: Path) -> None:
    """The same in a runtime whose apps had none, and whose deploys go to a folder of their own."""
    folders = tmp_path / "apps", tmp_path / "deploys"
    for each in folders:
        each.mkdir()
    env = {"RUNTIME_ENV": "production", "RUNTIME_DEPLOY_DIR": str(folders[1]), **AS_ROOT}
    with running(*folders, env=env) as runtime:
        operator = Operator(runtime)
        with operator.http as http:
            assert operator.put("plain", "1.0.0", app("1")).status_code == 201
            job = {"name": "tidy", "schedule": "0 3 * * *", "path": "/"}
            assert operator.put("shop", "1.0.0", app("1", cron=[job])).status_code == 201
            assert [each["app"] for each in http.get("/api/cron").json()["jobs"]] == ["shop"]
