"""Changed files of apps: in development the next request is served by the new code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.client import Gates, fetch, workers_of
from tests.support.harness import Runtime, running, wait_until, write_app

APP = (
    Gates.CODE
    + """
import template
from parts import part

def fetch(request):
    if "gate" in request.query:
        reach(request.query["gate"] + "-reached")
        pass_through(request.query["gate"])
    return Response.json({
        "pid": os.getpid(),
        "code": "CODE",
        "part": part.NAME,
        "template": template.text(),
        "greeting": os.environ.get("GREETING"),
    })
"""
)
TEMPLATE = """
import pathlib

_text = pathlib.Path("page.html").read_text()  # once, as template engines do

def text():
    return _text
"""
LOADER = """
import importlib.util, sys
from importlib.machinery import SourceFileLoader
from buntime import Response

loader = SourceFileLoader("rules", __file__.replace("app.py", "rules.dsl"))
rules = importlib.util.module_from_spec(importlib.util.spec_from_loader("rules", loader))
sys.modules["rules"] = rules
loader.exec_module(rules)

def fetch(request):
    return Response(rules.NAME)
"""
FILES = {
    "app.py": APP.replace("CODE", "one"),
    "template.py": TEMPLATE,
    "page.html": "page one",
    "parts/__init__.py": "",
    "parts/part.py": "NAME = 'part one'\n",
}


class Served(NamedTuple):
    """A runtime, its folder of apps, and the gates that they wait at."""

    runtime: Runtime
    apps: Path
    gates: Gates

    def ask(self, app: str, query: str = "") -> dict[str, object]:
        answer = fetch(self.runtime, f"/{app}/{query}")
        assert answer.status == 200, answer.body
        return answer.json()  # type: ignore[no-any-return]

    def write(self, app: str, **manifest: object) -> Path:
        return write_app(self.apps / app, FILES, env=self.gates.env, **manifest)


# The tests' apps, which are there from the start: a new folder may take a second to be seen.
LASTING: dict[str, object] = {"ttl": 600}
OF_DEVELOPMENT: dict[str, dict[str, object]] = {
    "changed-code-0": {},
    "changed-code-600": LASTING,
    "changed-part-600": LASTING,
    "changed-template-600": LASTING,
    "quick": LASTING,
    "files": LASTING,
    "manifest": LASTING,
    "in-hand": LASTING,
    "load": LASTING,
    "quiet": {**LASTING, "watch": ["!pages/**"]},
    "named": {**LASTING, "watch": ["rates.json"]},
    "loader": LASTING,
    "imports": LASTING,
    "broken-0": {},
    "broken-600": LASTING,
    "warm": {"prewarm": 1},
}
OF_PRODUCTION = dict.fromkeys(("edited", "kept", "beside", "manifest", "versions"), LASTING)


def serve(folder: Path, env: str, apps: Mapping[str, Mapping[str, object]]) -> Iterator[Served]:
    gates = Gates()
    (folder / "apps").mkdir()
    for name, manifest in apps.items():
        write_app(folder / "apps" / name, FILES, env=gates.env, **manifest)
    with running(folder / "apps", env={"RUNTIME_ENV": env}) as runtime:
        yield Served(runtime, folder / "apps", gates)


@pytest.fixture(scope="module")
def development(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("development"), "development", OF_DEVELOPMENT)


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("production"), "production", OF_PRODUCTION)


def loaded(served: Served, name: str) -> Path:
    """The folder of an app that has answered once."""
    served.ask(name)
    return served.apps / name


def replace(path: Path, old: str, new: str) -> None:
    """Changes a file as an editor does."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


# ---- development


@pytest.mark.parametrize(
    ("ttl", "file", "key", "old", "new"),
    [
        (0, "app.py", "code", "one", "two, longer"),
        (600, "app.py", "code", "one", "two, longer"),
        (600, "parts/part.py", "part", "part one", "another part"),
        (600, "page.html", "template", "page one", "another page"),
    ],
)
def test_change_is_served_by_the_next_request(
    development: Served, ttl: int, file: str, key: str, old: str, new: str
) -> None:
    """A change in an entrypoint, an imported module or a template is served at once."""
    name = f"changed-{key}-{ttl}"
    folder = loaded(development, name)
    assert development.ask(name)[key] == old
    replace(folder / file, old, new)
    assert development.ask(name)[key] == new


def test_change_within_a_second_is_served(development: Served) -> None:
    """A change of the same length, right after the last one, is served too.

    Python takes a .pyc for fresh if its source has the same size and the same second of change.
    """
    folder = loaded(development, "quick")
    for number in range(4):
        name = f"part {number:02}"
        (folder / "parts/part.py").write_text(f"NAME = '{name}'\n")
        assert development.ask("quick")["part"] == name


def test_new_and_removed_files_count(development: Served) -> None:
    """A new module is found, and a removed one is missing."""
    folder = loaded(development, "files")
    (folder / "extra.py").write_text("NAME = 'from extra'\n")
    replace(folder / "app.py", "from parts import part", "import extra as part")
    assert development.ask("files")["part"] == "from extra"
    (folder / "extra.py").unlink()
    answer = fetch(development.runtime, "/files/")
    assert answer.status == 500
    assert "No module named 'extra'" in answer.error["stack"]


def test_change_of_the_manifest_counts(development: Served) -> None:
    """A changed manifest applies from the next request on."""
    folder = loaded(development, "manifest")
    env = {**development.gates.env, "GREETING": "hello"}
    (folder / "buntime.yaml").write_text(json.dumps({"ttl": 600, "env": env}))
    assert development.ask("manifest")["greeting"] == "hello"
    (folder / "buntime.yaml").write_text("ttl: [")
    answer = fetch(development.runtime, "/manifest/")
    assert (answer.status, answer.error["code"]) == (500, "app_misconfigured")
    assert "buntime.yaml" in answer.error["stack"]
    (folder / "buntime.yaml").write_text(json.dumps({"env": development.gates.env}))
    assert development.ask("manifest")["greeting"] is None


def test_request_in_hand_is_finished_by_the_old_code(development: Served) -> None:
    """A request in progress at a change gets its answer from the code that it began with."""
    runtime, _, gates = development
    folder = loaded(development, "in-hand")
    with ThreadPoolExecutor() as threads:
        old = threads.submit(development.ask, "in-hand", "?gate=held")
        gates.wait_for("held-reached")
        replace(folder / "app.py", "one", "two, longer")
        assert development.ask("in-hand")["code"] == "two, longer"
        assert not old.done()
        gates.open("held")
        assert old.result()["code"] == "one"
    wait_until(lambda: len(workers_of(runtime, "in-hand")) == 1)


def test_changes_under_load_lose_no_request(development: Served) -> None:
    """While a file is changed again and again, each of many requests gets its answer."""
    folder = loaded(development, "load")
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(development.ask, "load") for _ in range(100)]
        for number in range(1, 6):
            (folder / "parts/part.py").write_text(f"NAME = 'part {'x' * number}'\n")
            answers[number * 16].result()
        parts = {each.result()["part"] for each in answers}
    assert len(parts) > 1
    # Not the very next one: on a machine this busy the watch may rest for a moment.
    wait_until(lambda: development.ask("load")["part"] == "part xxxxx")


@pytest.mark.parametrize(
    "path",
    [
        ".venv/lib/module.py",
        "venv/lib/module.py",
        "node_modules/x/index.js",
        "__pycache__/app.cpython-311.pyc",
        "parts/__pycache__/x.pyc",
        ".git/HEAD",
        ".idea/workspace.xml",
        "data.db",
        "data.sqlite3-journal",
        "out.log",
        "uploads/1.json",
        "state.json",
        "notes/today.md",
        "pages/wiki.html",
    ],
)
def test_what_tools_and_apps_write_does_not_count(development: Served, path: str) -> None:
    """Changes of environments, caches, repositories and data leave the worker alone."""
    folder = development.apps / "quiet"
    before = development.ask("quiet")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("something")
    assert development.ask("quiet") == before
    (folder / path).write_text("something else")
    assert development.ask("quiet") == before
    (folder / path).unlink()
    assert development.ask("quiet") == before


def test_the_log_names_the_file(development: Served) -> None:
    """The log says which file had an app loaded again; `watch` adds files."""
    folder = loaded(development, "named")
    before = development.ask("named")["pid"]
    (folder / "rates.json").write_text("{}")
    assert development.ask("named")["pid"] != before
    development.runtime.wait_for_record("app.changed", app="named", file="rates.json")
    replace(folder / "parts/part.py", "one", "two")
    assert development.ask("named")["part"] == "part two"
    development.runtime.wait_for_record("app.changed", app="named", file="parts/part.py")


def test_what_a_loader_has_imported_counts(development: Served) -> None:
    """A file that a worker has imported is code, whatever its name."""
    folder = loaded(development, "loader")
    (folder / "rules.dsl").write_text("NAME = 'by rules'\n")
    (folder / "app.py").write_text(LOADER)
    assert fetch(development.runtime, "/loader/").body == b"by rules"
    (folder / "rules.dsl").write_text("NAME = 'by other rules'\n")
    assert fetch(development.runtime, "/loader/").body == b"by other rules"


def test_own_imports_do_not_count(development: Served) -> None:
    """The .pyc files that importing an app leaves do not make it look changed."""
    loaded(development, "imports")
    pids = {development.ask("imports")["pid"] for _ in range(5)}
    assert len(pids) == 1


@pytest.mark.parametrize("ttl", [0, 600])
def test_broken_change_tells_why_and_mended_one_works(development: Served, ttl: int) -> None:
    """A change that cannot load gives its traceback each time; a repaired one works at once."""
    name = f"broken-{ttl}"
    folder = loaded(development, name)
    replace(folder / "app.py", '"one"', '"one" +')
    for number in range(8):
        answer = fetch(development.runtime, f"/{name}/")
        if answer.status == 503:  # held for a crash loop
            assert number >= 5
            break
        assert (answer.status, answer.error["code"]) == (500, "app_boot_failed")
        assert "SyntaxError" in answer.error["stack"]
    replace(folder / "app.py", '"one" +', '"mended"')
    assert development.ask(name)["code"] == "mended"


def test_prewarmed_workers_are_made_anew(development: Served) -> None:
    """A worker that was loaded before a change does not serve after it."""
    folder = loaded(development, "warm")
    wait_until(lambda: workers_of(development.runtime, "warm", status="idle"))
    replace(folder / "app.py", "one", "two, longer")
    assert development.ask("warm")["code"] == "two, longer"


# ---- production


def test_production_vets_code_that_is_changed_in_place(production: Served) -> None:
    """In production a changed file is loaded once the folder is quiet, without any request, beside
    the worker that serves: code that cannot load is reported, and no visitor sees it."""
    folder = loaded(production, "edited")
    before = production.ask("edited")
    replace(folder / "app.py", '"one"', '"one" +')
    assert production.ask("edited") == before
    production.runtime.wait_for_record("app.change_boot_failed", app="edited")
    assert production.ask("edited") == before
    replace(folder / "app.py", '"one" +', '"mended"')
    production.runtime.wait_for_record("app.changed", app="edited")
    assert production.ask("edited")["code"] == "mended"
    production.runtime.wait_for_record("app.edited", app="edited", file="app.py")


def test_production_keeps_what_is_no_code(production: Served) -> None:
    """Data, and new files, cause no reload."""
    folder = loaded(production, "kept")
    before = production.ask("kept")
    (folder / "state.json").write_text("{}")
    (folder / "uploads").mkdir()
    (folder / "uploads/evil.py").write_text("")
    other = loaded(production, "beside")
    replace(other / "app.py", "one", "two, longer")  # a change that is noticed later
    production.runtime.wait_for_record("app.changed", app="beside")
    assert production.ask("kept") == before


def test_production_notices_deploys_without_a_visitor(production: Served) -> None:
    """Within two seconds a new app with `prewarm` has its worker, a broken manifest is logged."""
    folder = production.write("unvisited", prewarm=1)
    wait_until(lambda: workers_of(production.runtime, "unvisited"), timeout_s=5)
    (folder / "buntime.yaml").write_text("ttl: [")
    record = production.runtime.wait_for_record("app.invalid", app="unvisited", timeout_s=5)
    assert "buntime.yaml" in record["error"]


def test_production_takes_a_changed_manifest(production: Served) -> None:
    """In production a changed manifest is used within two seconds, without a restart."""
    folder = loaded(production, "manifest")
    env = {**production.gates.env, "GREETING": "hello"}
    (folder / "buntime.yaml").write_text(json.dumps({"ttl": 600, "env": env}))
    wait_until(lambda: production.ask("manifest")["greeting"] == "hello", timeout_s=5)


def test_production_takes_a_new_version(production: Served) -> None:
    """In production a folder with a higher version serves within two seconds."""
    loaded(production, "versions")
    os.rename(production.apps / "versions", production.apps / "versions@1.0.0")
    folder = production.write("versions@1.1.0", ttl=600)
    replace(folder / "app.py", "one", "version 1.1")

    def is_served() -> bool:
        answer = fetch(production.runtime, "/versions/")
        return answer.status == 200 and answer.json()["code"] == "version 1.1"

    wait_until(is_served, timeout_s=5)
    assert production.ask("versions@1.0")["code"] == "one"
