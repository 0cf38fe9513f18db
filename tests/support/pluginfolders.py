"""Plugins in folders, for a real runtime, and what its operators see of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.client import Answer, fetch
from tests.support.harness import Runtime, running, wait_until, write_app

APP = 'from buntime import Response\ndef fetch(request): return Response("hello")\n'


def write_plugin(folder: Path, name: str, source: str | None = "", /, **manifest: object) -> Path:
    """`folder/name` with a manifest; `source` is the text of plugin.py, None for no such file."""
    files = {} if source is None else {"plugin.py": textwrap.dedent(source)}
    return write_app(folder / name, files, **{"name": name, **manifest})


@contextmanager
def plugged(folder: Path, *, first: str = "", **env: str) -> Iterator[Runtime]:
    """A runtime with the plugins in `folder/plugins`, and an app `hello`. For `first` see
    `running`."""
    write_app(folder / "apps" / "hello", {"app.py": APP}, ttl=600)
    dirs = {"RUNTIME_PLUGIN_DIRS": str(folder / "plugins"), "RUNTIME_STATE_DIR": str(folder / "s")}
    env = {"RUNTIME_ENV": "production", **dirs, **env}
    with running(folder / "apps", env=env, first=first) as runtime:
        yield runtime


def plugins_of(runtime: Runtime) -> dict[str, dict[str, Any]]:
    """Plugins by name, as `/api/plugins` lists them."""
    told = fetch(runtime, "/api/plugins").json()["plugins"]
    return {each["name"]: each for each in told}


def wait_for_state(runtime: Runtime, name: str, state: str) -> dict[str, Any]:
    """Wait until the plugin is in that state; returns its entry in the list."""
    wait_until(
        lambda: plugins_of(runtime).get(name, {}).get("state") == state, 20, f"{name} {state}"
    )
    return plugins_of(runtime)[name]


def post(runtime: Runtime, target: str) -> Answer:
    return fetch(runtime, target, method="POST")


def lines(runtime: Runtime) -> list[str]:
    """What apps and plugins have printed, in order."""
    return [each["message"] for each in runtime.records if each["event"] == "plugin.output"]


def rewrite(folder: Path, source: str, **manifest: object) -> None:
    """Give a plugin other code, and another manifest if there are keywords."""
    (folder / "plugin.py").write_text(textwrap.dedent(source), "utf-8")
    if manifest:
        text = json.dumps({"name": folder.name, **manifest})
        (folder / "buntime.yaml").write_text(text, "utf-8")
