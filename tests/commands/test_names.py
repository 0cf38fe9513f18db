"""Names of apps for a shell's Tab: what is offered, at what cost, and when nothing is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.commands.names import FLAG, asks_elsewhere, state_folder
from buntime.core.settings.load import load_settings
from tests.support.harness import ROOT, command, running, wait_until, write_app
from tests.support.pluginfolders import write_plugin
from tests.support.runs import environ


@pytest.fixture(scope="module", params=["", "a" * 70 + "/" + "b" * 70])
def state(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The state folder of a running runtime, once with a short and once with a long path."""
    apps, state = tmp_path_factory.mktemp("apps"), tmp_path_factory.mktemp("state") / request.param
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o711)
    for name in ("shop/1.0.0", "shop/1.2.0", "@acme/site", "blog"):
        write_app(apps / name, {"index.html": "<p>hello"})
    env = {"RUNTIME_ENV": "production", "RUNTIME_STATE_DIR": str(state), "RUNTIME_MASTER_KEY": ""}
    plugins = tmp_path_factory.mktemp("plugins")
    write_plugin(plugins, "audit")
    env["RUNTIME_PLUGIN_DIRS"] = str(plugins)
    with running(apps, env={**env, "RUNTIME_API_PREFIX": "/_"}):
        yield state


def offered(word: str, env: dict[str, str], *line: str) -> list[str]:
    done = subprocess.run(
        [*command(), FLAG, word, *line],
        env=environ(env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def at_last_offered(word: str, env: dict[str, str], names: list[str], *line: str) -> None:
    """Wait for the names, because a slow runtime, as on a busy machine, offers nothing."""
    wait_until(lambda: offered(word, env, *line) == names, what=f"{word!r} as {names}")


def test_names(state: Path, tmp_path: Path) -> None:
    """Apps by the beginning of their names; after an @, their versions."""
    env = {"RUNTIME_STATE_DIR": str(state), "HOME": str(tmp_path), "RUNTIME_API_PREFIX": "/_"}
    at_last_offered("", env, ["@acme/site", "blog", "shop"])
    at_last_offered("sh", env, ["shop"])
    at_last_offered("@", env, ["@acme/site"])
    at_last_offered("shop@", env, ["shop@1.0.0", "shop@1.2.0"])
    at_last_offered("shop@1.2", env, ["shop@1.2.0"])


def test_plugins(state: Path, tmp_path: Path) -> None:
    """After `plugins`, first actions, then plugin names; nothing where a folder is expected."""
    env = {"RUNTIME_STATE_DIR": str(state), "HOME": str(tmp_path), "RUNTIME_API_PREFIX": "/_"}
    begin = ("buntime", "plugins")
    at_last_offered("re", env, ["reload", "reset", "remove"], *begin)
    at_last_offered("re", env, ["reload", "reset", "remove"], *begin, "re")
    at_last_offered("a", env, ["audit", "authn"], *begin, "--json", "show")
    at_last_offered("", env, [], *begin, "check")
    at_last_offered("", env | {"BUNTIME_TO": "prod"}, [], *begin, "show")
    assert offered("", env, "buntime", "show") == []


def test_silence(tmp_path: Path) -> None:
    """Without a runtime, with a dead socket, or with a faulty file, nothing is printed."""
    env = {"RUNTIME_STATE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    assert offered("", env) == []
    (tmp_path / "control.sock").touch()
    assert offered("", env) == []
    (tmp_path / ".config/buntime").mkdir(parents=True)
    (tmp_path / ".config/buntime/hosts.json").write_text("[")
    assert offered("", env) == []


def test_elsewhere(tmp_path: Path) -> None:
    """If commands go to another host, no names of this machine are offered: they would mislead."""
    env = {"HOME": str(tmp_path)}
    assert not asks_elsewhere(env)
    assert asks_elsewhere(env | {"BUNTIME_TO": "prod"})
    config = tmp_path / ".config/buntime"
    config.mkdir(parents=True)
    (config / "hosts.json").write_text(json.dumps({"default": "prod", "hosts": {}}))
    assert asks_elsewhere(env)
    assert not asks_elsewhere(env | {"BUNTIME_TO": "local"})
    (config / "hosts.json").write_text(json.dumps({"default": "", "hosts": {}}))
    assert not asks_elsewhere(env)


@pytest.mark.parametrize(
    "environ",
    [{"HOME": "/home/x"}, {"HOME": "/home/x", "XDG_STATE_HOME": "/s"}, {"RUNTIME_STATE_DIR": "/d"}],
)
def test_the_state_folder(environ: dict[str, str]) -> None:
    """The state folder is the one of the settings."""
    settings = load_settings(
        args={}, environ=environ, dotenv={}, mode="pyz", cores=1, needs_apps=False,
        is_root=os.geteuid() == 0,
    )  # fmt: skip
    assert state_folder(environ) == settings.state_dir


def test_what_it_imports() -> None:
    """A Tab imports none of the modules that other commands need."""
    slow = {"argparse", "dataclasses", "inspect", "http.client", "ssl", "buntime.commands.cli"}
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['buntime', {FLAG!r}, 'x'];"
        "import atexit; atexit.register(lambda: print(" + repr(slow) + " & set(sys.modules)));"
        "import buntime.__main__"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
