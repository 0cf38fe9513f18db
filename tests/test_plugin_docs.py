"""docs/plugins.md describes every key, hook and verdict, as the code defines them."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from buntime.core.apps.key import Key
from buntime.core.errors import ManifestError
from buntime.core.plugins.manifest import PLUGIN_KEYS, STAGES, parse_plugin_manifest
from buntime.core.plugins.schema import TYPES, OptionKind
from buntime.plugin import Continue
from buntime.worker.plugin import HOOKS
from tests.test_docs import examples, rows

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/plugins.md").read_text("utf-8")


@pytest.mark.parametrize("key", PLUGIN_KEYS, ids=lambda key: key.name)
def test_keys(key: Key) -> None:
    """There is a row for each key: name, kind, default and meaning."""
    assert [f"`{key.name}`", key.kind, key.default_text, key.meaning] in rows(PAGE)


KEYS_OF_APPS_ALONE = {
    "hosts": "[a.example]",
    "keep": "true",
    "affinity": "cookie",
    "prewarm": "1",
    "processes": "{a: b}",
    "cron": "[{schedule: '@daily', path: /x}]",
}


def test_keys_of_apps_alone() -> None:
    """The keys of apps that plugins do not have are named, and are refused."""
    told = PAGE.partition("All keys of an [app's manifest](manifest.md) except ")[2]
    assert re.findall(r"`(\w+)`", told.partition("and\nthese.")[0]) == [*KEYS_OF_APPS_ALONE]
    for key, value in KEYS_OF_APPS_ALONE.items():
        with pytest.raises(ManifestError, match=f": {key}: .*remove {key}$"):
            parse_plugin_manifest(
                f"name: a\n{key}: {value}".encode(), path="a", body_default=1, body_max=1
            )


def test_keys_of_options() -> None:
    """Each key that an option may have has a row, and each type of option is named."""
    told = {name for row in rows(PAGE) for name in re.findall(r"`(\w+)`", row[0])}
    assert {name for name in OptionKind._fields if name != "name"} <= told
    assert all(f"`{name}`" in PAGE for name in TYPES)


BUNDLED = [
    (path.parent.name, name, option)
    for path in sorted((ROOT / "plugins").glob("*/buntime.yaml"))
    for name, option in json.loads(path.read_text("utf-8")).get("config", {}).items()
]


@pytest.mark.parametrize(("plugin", "name", "option"), BUNDLED, ids=lambda value: str(value)[:20])
def test_options_of_bundled_plugins(plugin: str, name: str, option: dict[str, Any]) -> None:
    """A plugin that comes with Buntime has a page with a row for each option and its variable."""
    page = (ROOT / f"docs/{plugin}.md").read_text("utf-8")
    [row] = [found for found in rows(page) if found[0] == f"`{name}`"]
    default = option.get("default") or "none"
    assert row[1] == ("true" if default is True else str(default))
    assert row[2] == (f"`{option['env']}`" if "env" in option else "none")


def test_hooks() -> None:
    """Each hook is described, and no other."""
    told = {row[0].replace("`", "") for row in rows(PAGE) if row[0].startswith("`on_")}
    names = {call.partition("(")[0].strip() for row in told for call in row.split("), ")}
    assert names == {*HOOKS}


@pytest.mark.parametrize("name", inspect.signature(Continue).parameters)
def test_verdicts(name: str) -> None:
    """Each part of a Continue is described."""
    assert any(f"`{name}`" in row[0] for row in rows(PAGE))


def test_stages() -> None:
    """The description of a request's way has the stages in their order."""
    [way] = [text for text in examples(PAGE, "text") if text.startswith("stage route")]
    places = [way.index(f"{stage} ->") for stage in STAGES[:2]]
    places += [way.index(f"stage {stage}") for stage in STAGES[2:3]]
    places.append(way.index(f"then {STAGES[3]}"))
    assert places == sorted(places)


@pytest.mark.parametrize("text", examples(PAGE, "yaml"))
def test_examples(text: str) -> None:
    """Each example of a manifest is valid and gives no warning."""
    _, warnings = parse_plugin_manifest(
        text.encode(), path="example", body_default=10 << 20, body_max=100 << 20
    )
    assert warnings == ()
