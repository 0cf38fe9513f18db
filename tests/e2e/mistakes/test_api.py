"""Mistakes in API calls, and with plugins: what is wrong, where, and what to do."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.client import Answer, fetch
from tests.support.harness import OPERATORS_KEY, Runtime, running, write_app
from tests.support.mistakes import FETCH, Told
from tests.support.operators import ADMIN, Operator, address_of
from tests.support.pluginfolders import write_plugin
from tests.support.runs import run


class Asked(NamedTuple):
    """A request to the API, with an operator's key unless `key` is another one."""

    method: str
    path: str
    status: int
    told: Told
    body: bytes | None = None
    key: str = OPERATORS_KEY


def archive(name: str) -> bytes:
    """A tar.gz with one file of this name."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    return data.getvalue()


UP = "/api/apps/up/versions/1.0.0"
ROLE = {"name": "x", "roles": ["vewer"]}
ASKED: Mapping[str, Asked] = {
    "a wrong key": Asked(
        "GET", "/api/workers", 401, Told("needs", "this page", "send it as X-API-Key"), key="wrong"
    ),
    "no such page": Asked(
        "GET", "/api/nonesuch", 404, Told("there is no", "/api/nonesuch", "/api")
    ),
    "no such parameter": Asked(
        "GET", "/api/apps?limt=5", 400, Told("unknown query parameter", "'limt'", "mean limit?")
    ),
    "a method that is none": Asked(
        "POST", "/api/apps", 405, Told("answers", "/api/apps", "GET and HEAD")
    ),
    "no such app": Asked(
        "GET", "/api/apps/shpo", 404, Told("there is no app", "shpo", "buntime list")
    ),
    "no such plugin": Asked(
        "GET", "/api/plugins/kv", 404, Told("there is no plugin", "kv", "buntime plugins list")
    ),
    "no JSON": Asked(
        "POST", "/api/keys", 400, Told("not JSON", "the body of the request", "in UTF-8"), b"{"
    ),
    "no such role": Asked(
        "POST",
        "/api/keys",
        400,
        Told("'vewer' is not one of", "roles[0]", "did you mean viewer?"),
        json.dumps(ROLE).encode(),
    ),
    "an archive that leads out": Asked(
        "PUT",
        UP,
        422,
        Told("leads out of the app's folder", "../evil.py", "pack from inside"),
        archive("../evil.py"),
    ),
    "no archive": Asked(
        "PUT", UP, 415, Told("neither a tar.gz nor a zip", "the archive", "send one of"), b"hello"
    ),
    "nothing sent": Asked(
        "PUT", UP, 400, Told("archive", "as the body", "send the archive, a tar.gz or a zip"), b""
    ),
    "no version": Asked(
        "PUT",
        "/api/apps/up/versions/one",
        400,
        Told("is not a version", "'one'", "write one like 1.2.0"),
        archive("app.py"),
    ),
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    apps = tmp_path_factory.mktemp("api")
    write_app(apps / "shop", {"app.py": FETCH})
    env = {"RUNTIME_ENV": "production", **ADMIN}
    with running(apps, env=env) as runtime:
        yield runtime


def said(answer: Answer) -> str:
    """The message of an error, or of a deploy that failed."""
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize("mistake", ASKED)
def test_api(mistake: str, runtime: Runtime) -> None:
    """The message of an error has all three parts."""
    method, path, status, told, body, key = ASKED[mistake]
    answer = fetch(runtime, path, method=method, body=body, headers={"X-API-Key": key})
    assert answer.status == status, answer
    for piece in told:
        assert piece in said(answer)


def test_a_session_that_has_ended(runtime: Runtime) -> None:
    """A client without a session is told how to begin one."""
    answer = Operator(address_of(runtime)).ask("GET", "/api/session")
    assert answer.status == 401
    for piece in Told("nobody is signed in", "here", "buntime open"):
        assert piece in said(answer)


def test_logs_of_an_app_that_is_not_there(runtime: Runtime, tmp_path: Path) -> None:
    """`buntime logs NOPE` says that there is no such app."""
    env = {"HOME": str(tmp_path), "BUNTIME_KEY": OPERATORS_KEY}
    done = run("logs", "NOPE", "--to", runtime.url, cwd=tmp_path, env=env)
    assert done.returncode == 1
    for piece in Told("there is no app", "NOPE", "buntime list"):
        assert piece in done.stderr


# Plugins by name: the manifest and the code, the event of the log, and what is said.
PLUGINS: Mapping[str, tuple[Mapping[str, object], str, str, Told]] = {
    "odd": (
        {"dependancies": []},
        "",
        "plugin.invalid",
        Told("unknown key 'dependancies'", "{plugins}/odd/buntime.yaml:1", "mean dependencies?"),
    ),
    "taken": (
        {"base": "/api"},
        "",
        "plugin.invalid",
        Told("is the runtime's own path", "{plugins}/taken/buntime.yaml:1", "choose another one"),
    ),
    "codeless": (
        {"pluginEntry": "x.py"},
        "",
        "plugin.invalid",
        Told("there is no x.py", "{plugins}/codeless/buntime.yaml", "add it"),
    ),
    "needy": (
        {"dependencies": ["absent"]},
        "",
        "plugin.left_out",
        Told("needs absent, which is not installed", "needy", "see buntime plugins list"),
    ),
    "round": (
        {"dependencies": ["about"]},
        "",
        "plugin.left_out",
        Told("in a cycle of dependencies", "about -> round -> about", "remove one of them"),
    ),
    "about": (
        {"dependencies": ["round"]},
        "",
        "plugin.left_out",
        Told("in a cycle of dependencies", "about -> round -> about", "remove one of them"),
    ),
    "asks": (
        {"uses": ["nonesuch"]},
        "",
        "plugin.left_out",
        Told("a service that no plugin offers", "uses nonesuch", "install the plugin that"),
    ),
    "boom": (
        {},
        "raise ValueError('no luck')\n",
        "plugin.start_failed",
        Told("ValueError: no luck", "plugin.py", "buntime plugins reload boom"),
    ),
}


class Plugins(NamedTuple):
    runtime: Runtime
    folder: Path
    terminal: str
    panel: Mapping[str, str]


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugins]:
    root = tmp_path_factory.mktemp("plugged")
    folder = root / "plugins"
    for name, (manifest, code, *_) in PLUGINS.items():
        write_plugin(folder, name, code, **manifest)
    write_app(root / "apps/shop", {"app.py": FETCH})
    checked = run("plugins", "check", folder, cwd=root)
    with running(root / "apps", env={"RUNTIME_PLUGIN_DIRS": str(folder)}) as runtime:
        runtime.wait_for_record("plugin.start_failed")
        items = fetch(runtime, "/api/attention").json()["items"]
        panel = {
            name: "\n".join(f"{each['text']} {each['hint']}" for each in items
                            if f"plugin {name} " in each["text"])
            for name in PLUGINS
        }  # fmt: skip
        yield Plugins(runtime, folder, checked.stdout, panel)


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins(name: str, plugins: Plugins) -> None:
    """A plugin that does not run is reported in the terminal, the log and the panel."""
    *_, event, told = PLUGINS[name]
    record = plugins.runtime.wait_for_record(event, plugin=name)
    texts = {"log": f"{record['error']} {record.get('hint')}", "panel": plugins.panel[name]}
    if event != "plugin.start_failed":  # `check` starts no plugin
        texts["terminal"] = plugins.terminal
    for place, text in texts.items():
        for piece in told:
            assert piece.format(plugins=plugins.folder) in text, (place, text)


def test_a_closed_runtime(plugins: Plugins) -> None:
    """A plugin that cannot be read closes all apps; the page says how to find out which."""
    answer = fetch(plugins.runtime, "/shop/")
    assert answer.status == 503
    text = f"{answer.error['message']} {answer.error['hint']}"
    for piece in Told("cannot be read", "a plugin", "buntime plugins check"):
        assert piece in text
