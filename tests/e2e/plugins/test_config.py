"""The config file: which plugins run, with which options, and who may call their services."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.client import fetch
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.pluginfolders import (
    lines,
    plugged,
    plugins_of,
    post,
    wait_for_state,
    write_plugin,
)
from tests.support.runs import run
from tests.support.serviceapps import CALLS, call

TELLS = """
import os
from buntime import Response
from buntime.plugin import plugin
def on_init(): print(plugin.name, "init", plugin.config.get("word"))
def on_shutdown(): print(plugin.name, "down", plugin.config.get("word"))
def fetch(request): return Response(f"{plugin.config['word']} {os.getpid()}")
"""
SCHEMA = {
    "word": {"type": "string", "default": "none"},
    "token": {"type": "password"},
}


def tells(folder: Path, name: str = "tells", **manifest: object) -> Path:
    keys = {"base": f"/{name}", "visibility": "public", "config": SCHEMA, **manifest}
    return write_plugin(folder / "plugins", name, TELLS, **keys)


def write(folder: Path, text: str) -> Path:
    path = folder / "buntime.config.yaml"
    path.write_text(text, "utf-8")
    return path


def options(name: str, **values: object) -> str:
    return f"plugins: {{{name}: {{options: {json.dumps(values)}}}}}\n"


@contextmanager
def configured(folder: Path, text: str, **env: str) -> Iterator[Runtime]:
    with plugged(folder, RUNTIME_CONFIG=str(write(folder, text)), **env) as runtime:
        yield runtime


def hup(runtime: Runtime) -> None:
    runtime.process.send_signal(signal.SIGHUP)


def word(runtime: Runtime, name: str = "tells") -> str:
    return fetch(runtime, f"/{name}/").body.decode().partition(" ")[0]


def test_options(tmp_path: Path) -> None:
    """A plugin gets what the file says; a variable wins, and each value shows its origin. Passwords
    are neither in the API nor in the log.
    """
    tells(tmp_path)
    other = {"word": {"type": "string", "env": "OTHER_WORD"}, "token": {"type": "password"}}
    tells(tmp_path, "other", config=other)
    text = (
        "plugins:\n  tells:\n    options:\n      word: file\n      token: hunter2\n"
        "  other: {options: {token: hunter3, word: file}}\n"
    )
    with configured(tmp_path, text, OTHER_WORD="env") as runtime:
        told = wait_for_state(runtime, "tells", "serving")
        by_env = wait_for_state(runtime, "other", "serving")["options"][0]
        assert (word(runtime), word(runtime, "other")) == ("file", "env")
        place = f"{tmp_path}/buntime.config.yaml"
        assert told["options"] == [
            {"name": "word", "value": "file", "origin": f"{place}:4"},
            {"name": "token", "value": "********", "origin": f"{place}:5"},
        ]
        assert by_env == {"name": "word", "value": "env", "origin": "env OTHER_WORD"}
        assert "hunter" not in json.dumps(plugins_of(runtime))
        exposed = runtime.wait_for_record("config.exposed")
        assert exposed["places"] == [f"{place}:6", f"{place}:5"]
        runtime.stop()
        assert "hunter" not in json.dumps(runtime.records)


def test_a_guard_without_its_option(tmp_path: Path) -> None:
    """A plugin without a required option is left out with the reason; what it guards is closed.
    Options of a plugin that is not there are warned of; the rest of the file takes effect."""
    config = {"word": {"type": "password", "required": True}}
    write_plugin(
        tmp_path / "plugins",
        "guard",
        "def on_request(request): pass",
        stage="access",
        config=config,
    )
    with configured(tmp_path, "") as runtime:
        needed = "plugins.guard.options.word is required; set it in the config file"
        assert wait_for_state(runtime, "guard", "failed")["why"] == needed
        assert fetch(runtime, "/hello/").status == 503
        write(tmp_path, "plugins: {guard: {options: {word: s3cret}}, gard: {enabled: false}}")
        hup(runtime)
        wait_for_state(runtime, "guard", "serving")
        assert fetch(runtime, "/hello/").status == 200
        told = runtime.wait_for_record("config.unknown_plugin")
        assert "there is no plugin gard; did you mean guard?" in told["error"]


def test_only_what_has_changed_is_reloaded(tmp_path: Path) -> None:
    """On SIGHUP a plugin with other options starts beside the old one; with `overlap: false` the
    old one ends first. Others stay, also those whose lines in the file have only moved.
    """
    tells(tmp_path)
    tells(tmp_path, "other")
    tells(tmp_path, "writer", overlap=False)
    with configured(tmp_path, options("other", word="same")) as runtime:
        first = wait_for_state(runtime, "other", "serving")
        wait_for_state(runtime, "tells", "serving")
        wait_for_state(runtime, "writer", "serving")
        text = "\nplugins:\n  tells: {options: {word: new}}\n  other: {options: {word: same}}\n"
        write(tmp_path, text + "  writer: {options: {word: new}}\n")
        hup(runtime)
        read = runtime.wait_for_record("config.read", plugins=["tells", "writer"])
        assert read["file"] == f"{tmp_path}/buntime.config.yaml"
        noted = runtime.wait_for_record("audit.changed", action="config.changed")
        assert (noted["subject"], noted["after"]) == (
            read["file"],
            {"plugins": ["tells", "writer"]},
        )
        wait_until(lambda: word(runtime) == word(runtime, "writer") == "new", 20)
        runtime.wait_for_plugin_line("tells down none")
        runtime.wait_for_plugin_line("tells init new")
        runtime.wait_for_plugin_line("writer init new")
        second = plugins_of(runtime)["other"]
        assert (second["pid"], second["generation"]) == (first["pid"], first["generation"])
        assert second["options"][0]["origin"].endswith(".yaml:4")
        said = lines(runtime)
    tell = [each for each in said if each.startswith("tells")]
    assert tell[:3] == ["tells init none", "tells init new", "tells down none"]
    tell = [each for each in said if each.startswith("writer")]
    assert tell[:3] == ["writer init none", "writer down none", "writer init new"]


BROKEN = {
    ":1: not valid YAML": "plugins: {tells: {enabled: false}, other: [}",
    "did you mean options?": "plugins: {tells: {enabled: false, option: {}}}",
    "'wrod'": "plugins: {tells: {options: {word: new}}, other: {options: {wrod: x}}}",
    "no service kv": "plugins: {tells: {options: {word: new}}, other: {grants: {kv: all}}}",
    "plugins.other.options.need is required": "",
    "there is no such file": None,
}


def test_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    """Nothing in a file with a fault takes effect, for any plugin; each SIGHUP logs it."""
    tells(tmp_path)
    need = {"need": {"type": "number", "required": True}}
    write_plugin(tmp_path / "plugins", "other", "", config=need)
    good = "plugins: {tells: {options: {word: old}}, other: {options: {need: 1}}}"
    with configured(tmp_path, good) as runtime:
        before = wait_for_state(runtime, "tells", "serving")
        wait_for_state(runtime, "other", "serving")
        count = 0
        for fault, text in BROKEN.items():
            if text is None:
                (tmp_path / "buntime.config.yaml").unlink()
            else:
                write(tmp_path, text)
            for _ in range(2):
                count += 1
                hup(runtime)
                wait_until(lambda count=count: len(rejected(runtime)) == count, what=fault)  # type: ignore[misc]  # mypy does not see the type of a default
                assert fault in rejected(runtime)[-1]["faults"][0]
            after = plugins_of(runtime)["tells"]
            assert (after["state"], after["pid"]) == ("serving", before["pid"]), fault
            assert word(runtime) == "old", fault
            assert plugins_of(runtime)["other"]["state"] == "serving", fault
            [text] = attention(runtime)
            assert text.startswith("The changed config file cannot be used: ")
            assert fault in text
        write(tmp_path, good.replace("old", "mended"))
        hup(runtime)
        wait_until(lambda: word(runtime) == "mended", 20)
        assert attention(runtime) == []


def attention(runtime: Runtime) -> list[str]:
    """What operators are told of the config file."""
    items = fetch(runtime, "/api/attention").json()["items"]
    return [each["text"] for each in items if each["code"] == "config_rejected"]


def rejected(runtime: Runtime) -> list[dict[str, Any]]:
    return [each for each in runtime.records if each["event"] == "config.rejected"]


def test_a_start_with_a_broken_file(tmp_path: Path) -> None:
    """A start names the fault and exits with 2, also if the named file is missing."""
    for config, words in (
        (write(tmp_path, "plugin: {}"), ":1: unknown key 'plugin'; did you mean plugins?"),
        (tmp_path / "gone.yaml", "gone.yaml: there is no such file"),
    ):
        done = run(tmp_path, "--port", "0", "--config", config, cwd=tmp_path)
        assert done.returncode == 2
        assert words in done.stderr


def test_who_switches(tmp_path: Path) -> None:
    """The file wins over the manifest, an operator over the file; the API shows who decided."""
    tells(tmp_path)
    tells(tmp_path, "idle", enabled=False)
    text = "plugins:\n  tells: {enabled: false}\n  idle: {enabled: true}\n"
    with configured(tmp_path, text) as runtime:
        place = f"{tmp_path}/buntime.config.yaml"
        idle = wait_for_state(runtime, "idle", "serving")
        told = wait_for_state(runtime, "tells", "disabled")
        assert (idle["enabledBy"], told["enabledBy"]) == (f"{place}:3", f"{place}:2")
        assert post(runtime, "/api/plugins/tells/enable").status == 202
        by = wait_for_state(runtime, "tells", "serving")["enabledBy"]
        assert by.startswith("an operator (127.0.0.1) at 20")
        write(tmp_path, "plugins: {tells: {enabled: false}}")
        hup(runtime)
        told = wait_for_state(runtime, "idle", "disabled")
        assert told["enabledBy"] == "its manifest"
        assert plugins_of(runtime)["tells"]["state"] == "serving"
        words = ("plugins", "list", "--plugin-dirs", tmp_path / "plugins")
        words += ("--state-dir", tmp_path / "s", "--config", place)
        listed = run(*words, cwd=tmp_path).stdout
        assert f". tells 0.0.0 (base /tells), enabled by {by}\n" in listed
        for _ in range(2):  # the second has nothing to reset
            assert post(runtime, "/api/plugins/tells/reset").status == 202
            told = wait_for_state(runtime, "tells", "disabled")
            assert told["enabledBy"] == f"{place}:1"
        record = runtime.wait_for_record("plugin.switch_taken_back")
        assert (record["enabled"], record["was_enabled"]) == (False, True)


def test_grants(tmp_path: Path) -> None:
    """An operator opens a service without `to` to callers by name and pattern, and closes it again;
    meanwhile its plugin runs on.
    """
    store = """
        from buntime.plugin import exposed, plugin
        class Store:
            @exposed
            def who(self): return plugin.caller
        services = {"kv": Store()}
    """
    write_plugin(tmp_path / "plugins", "store", store, provides={"kv": {}})
    for app in ("shop", "blog-de"):
        write_app(tmp_path / "apps" / app, {"app.py": CALLS}, ttl=600, uses=["kv"])
    grants = "plugins: {store: {grants: {kv: %s}}}"
    with configured(tmp_path, grants % "['app:blog-*']") as runtime:
        before = wait_for_state(runtime, "store", "serving")
        assert call(runtime, "who")["code"] == "no grant"
        assert fetch(runtime, "/blog-de/who").json() == {"value": "app:blog-de"}
        write(tmp_path, grants % "all")
        hup(runtime)
        wait_until(lambda: call(runtime, "who") == {"value": "app:shop"}, 20)
        write(tmp_path, "")
        hup(runtime)
        wait_until(lambda: call(runtime, "who").get("code") == "no grant", 20)
        assert plugins_of(runtime)["store"]["pid"] == before["pid"]


def test_other_folders(tmp_path: Path) -> None:
    """RUNTIME_PLUGIN_DIRS and RUNTIME_CONFIG can change on SIGHUP."""
    tells(tmp_path / "one", "first")
    tells(tmp_path / "two", "second")
    other = write(tmp_path / "two", options("second", word="two"))
    env_file = tmp_path / "settings"
    env_file.write_text(f"RUNTIME_PLUGIN_DIRS={tmp_path}/one/plugins\n", "utf-8")
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(tmp_path / "s")}
    with running(tmp_path, env={**env, "RUNTIME_ENV_FILE": str(env_file)}) as runtime:
        wait_for_state(runtime, "first", "serving")
        env_file.write_text(
            f"RUNTIME_PLUGIN_DIRS={tmp_path}/two/plugins\nRUNTIME_CONFIG={other}\n", "utf-8"
        )
        hup(runtime)
        wait_for_state(runtime, "second", "serving")
        assert word(runtime, "second") == "two"
        assert "first" not in plugins_of(runtime)


def test_development_sees_changes(tmp_path: Path) -> None:
    """In development changes are noticed without SIGHUP, and a fault is logged once."""
    tells(tmp_path)
    with configured(tmp_path, "", RUNTIME_ENV="development") as runtime:
        wait_for_state(runtime, "tells", "serving")
        write(tmp_path, options("tells", wrod="new"))
        wait_until(lambda: len(rejected(runtime)) == 1, 20)
        write(tmp_path, options("tells", word="new"))
        wait_until(lambda: word(runtime) == "new", 20)
        assert len(rejected(runtime)) == 1
