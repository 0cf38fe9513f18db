"""`buntime config`: which faults it finds, and which values apply and where they come from."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from buntime.commands.cli import main
from tests.support.pluginfolders import write_plugin

SCHEMA = {
    "path": {"type": "string", "default": "kv.db"},
    "days": {"type": "number", "env": "KEYVAL_DAYS"},
    "hosts": {"type": "array"},
    "token": {"type": "password", "required": True},
}
GOOD = """\
plugins:
  store:
    enabled: true
    options: {hosts: [a, b], token: hunter2}
    grants: {kv: ["app:shop"]}
"""
UNKNOWN = "unknown option 'pth'; did you mean path? (allowed are path, days, hosts, token)"


class Place:
    """A working folder with the plugin store, a config file and a `.env`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "buntime.config.yaml"
        self._capsys = capsys
        write_plugin(
            folder / "plugins", "store", "", enabled=False, provides={"kv": {}, "raw": {}},
            config=SCHEMA,
        )  # fmt: skip
        self.write(GOOD)

    def write(self, text: str) -> None:
        self.file.write_text(text, "utf-8")
        self.file.chmod(0o600)

    def run(self, *words: str) -> tuple[int, str]:
        code = main(["config", *words], mode="checkout")
        told = self._capsys.readouterr()
        assert "hunter2" not in told.out + told.err
        return code, told.out + told.err


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Place:
    for name in [name for name in os.environ if name.startswith("RUNTIME_") or name == "PORT"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNTIME_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KEYVAL_DAYS", "30")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("RUNTIME_POOL_SIZE=7\nRUNTIME_MASTER_KEY=hunter2\n", "utf-8")
    return Place(tmp_path, capsys)


def test_check_of_a_good_file(place: Place) -> None:
    """The file in the working folder is found, and has no faults."""
    assert place.run("check") == (0, f"{place.file}: no faults\n")


def test_check_tells_all(place: Place) -> None:
    """All faults of plugins are reported at once, with their lines, and the exit code is 1."""
    place.write(
        "plugins:\n  store:\n    enabled: true\n    options: {pth: x, hosts: a}\n"
        "    grants: {kvv: all}\n  stoer: {}\n"
    )
    code, out = place.run("check")
    path = place.file
    assert code == 1
    assert out.splitlines() == [
        f"FAULT: {path}:4: plugins.store.options: {UNKNOWN}",
        f"FAULT: {path}:4: plugins.store.options.hosts: 'a' is not a list; write one like [a, b]",
        f"FAULT: {path}:5: plugins.store.grants: store offers no service kvv; did you mean kv?",
        f"FAULT: {path}:6: plugins: there is no plugin stoer; did you mean store?",
        f"FAULT: {path}: plugins.store.options.token is required; set it in the config file",
        f"{path}: 5 faults",
    ]


@pytest.mark.parametrize(
    ("text", "count"), [("plugins: [", 1), ("plugin: {}\nplugins: {a: 1, b: 2}\n", 3)]
)
def test_check_of_what_is_no_config_file(place: Place, text: str, count: int) -> None:
    """Faults of the file itself are reported in full."""
    place.write(text)
    code, out = place.run("check")
    assert (code, out.count("FAULT")) == (1, count)


def test_check_of_another_file(place: Place, tmp_path: Path) -> None:
    """A file can be checked before it replaces the one in use; it must exist."""
    place.write("plugins: []")
    other = tmp_path / "new.yaml"
    assert place.run("check", "new.yaml")[0] == 1
    other.write_text(GOOD, "utf-8")
    other.chmod(0o644)
    code, out = place.run("check", "new.yaml")
    assert code == 0
    assert f"WARNING: {other}:4: every user of this machine can read this password" in out
    place.file.unlink()
    code, out = place.run("check")
    assert code == 1
    assert "there is no such file; name another one in RUNTIME_CONFIG" in out


def test_show(place: Place) -> None:
    """Each value is shown with where it comes from, but no secret."""
    code, out = place.run("show", "--port", "9000")
    rows = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in out.splitlines()}
    assert code == 0
    assert rows["PORT"] == "9000  (flag --port)"
    assert rows["RUNTIME_POOL_SIZE"] == "7  (RUNTIME_POOL_SIZE in .env)"
    assert rows["RUNTIME_MASTER_KEY"] == "********  (RUNTIME_MASTER_KEY in .env)"
    assert rows["OTEL_EXPORTER_OTLP_HEADERS"] == "none  (default)"
    assert rows["RUNTIME_STATE_DIR"].endswith("/state  (env RUNTIME_STATE_DIR)")
    assert rows["RUNTIME_BOOT_TIMEOUT"] == "30s  (default)"
    assert rows["RUNTIME_LISTEN"] == "127.0.0.1 port 9000  (default)"
    assert rows["RUNTIME_PYTHON"] == f"{sys.executable}  (default)"
    assert rows["RUNTIME_CRON_CONCURRENCY"] == "1  (default)"  # a quarter of the pool's seven
    assert rows["OTEL_SERVICE_NAME"] == "buntime  (default)"
    assert rows["RUNTIME_BODY_SIZE_MAX"] == "100mb  (default)"
    assert rows["RUNTIME_CONFIG"] == f"{place.file}  (default)"
    path = place.file
    assert rows["plugins.store.enabled"] == f"true  ({path}:3)"
    assert rows["plugins.store.options.path"] == "kv.db  (default)"
    assert rows["plugins.store.options.days"] == "30  (env KEYVAL_DAYS)"
    assert rows["plugins.store.options.hosts"] == f"a, b  ({path}:4)"
    assert rows["plugins.store.options.token"] == f"********  ({path}:4)"
    assert rows["plugins.store.grants.kv"] == f"app:shop  ({path}:5)"
    assert rows["plugins.store.grants.raw"] == "none  (its manifest)"


def test_show_of_apps(place: Place) -> None:
    """What the file says about apps is shown with units; no secret's or variable's value is."""
    place.file.write_text(
        "apps:\n  shop:\n    secrets: [A, B]\n    maxMemory: 256mb\n    ttl: 10m\n    env: {C: d}\n"
    )
    _, out = place.run("show", "--app-users", "*=nobody")
    rows = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in out.splitlines()}
    assert rows["apps.shop.secrets"] == f"A, B  ({place.file}:3)"
    assert rows["apps.shop.maxMemory"] == f"256mb  ({place.file}:4)"
    assert rows["apps.shop.ttl"] == f"10m  ({place.file}:5)"
    assert rows["apps.shop.env"] == f'{{"C": "********"}}  ({place.file}:6)'
    assert rows["RUNTIME_APP_USERS"] == '{"*": "nobody"}  (flag --app-users)'


def test_show_as_json(place: Place) -> None:
    """JSON has the same values with types: seconds, bytes, lists."""
    code, out = place.run("show", "--json")
    told: dict[str, Any] = json.loads(out)
    assert code == 0
    assert told["file"] == str(place.file)
    assert told["settings"]["RUNTIME_BOOT_TIMEOUT"] == {
        "value": 30.0,
        "origin": "default",
        "live": True,
        "meaning": "how long an app may take to load in a worker",
    }
    assert told["settings"]["RUNTIME_BODY_SIZE_MAX"]["value"] == 100 << 20
    assert told["settings"]["RUNTIME_MASTER_KEY"]["value"] == "********"
    store = told["plugins"]["store"]
    place_of = f"{place.file}:"
    assert store["enabled"] == {"value": True, "origin": f"{place_of}3"}
    assert store["options"]["hosts"] == {"value": ["a", "b"], "origin": f"{place_of}4"}
    assert store["grants"]["kv"] == {"value": ["app:shop"], "origin": f"{place_of}5"}
    assert store["error"] is None


def test_show_of_a_broken_file(place: Place) -> None:
    """A broken file is an error, and nothing is shown."""
    place.write("plugins: []")
    code, out = place.run("show")
    assert code == 2
    assert "not a mapping" in out


@pytest.mark.parametrize("words", [(), ("remove",), ("check", "a", "b")])
def test_what_is_no_action(place: Place, words: tuple[str, ...]) -> None:
    """An unknown action, none at all, or two files are a usage error."""
    assert place.run(*words)[0] == 2
