"""docs/config.md describes every key of the config file, as the code defines them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from buntime.core.config.configfile import CONFIG_NAME, KEYS, SIZE_MAX_BYTES, parse_config
from buntime.core.plugins.schema import parse_schema
from tests.test_docs import examples, rows

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/config.md").read_text("utf-8")
SERVICES = (ROOT / "docs/services.md").read_text("utf-8")


def test_keys() -> None:
    """There is a row for each key, and no other row."""
    told = [row for row in rows(PAGE) if row[0].startswith(("`plugins", "`apps", "`access"))]
    assert told == [[f"`{key.path}`", key.kind, key.meaning] for key in KEYS]


def test_numbers_and_names() -> None:
    """The file's name and size limit are those of the code."""
    assert f"`{CONFIG_NAME}`" in PAGE
    assert f"{SIZE_MAX_BYTES >> 10} KiB" in PAGE


def test_bundled_plugins() -> None:
    """The first example sets options that the plugin has, in values that they may have."""
    manifest = json.loads((ROOT / "plugins/keyval/buntime.yaml").read_text("utf-8"))
    schema = parse_schema(manifest["config"])
    options = parse_config(examples(PAGE, "yaml")[0].encode(), "x").plugins["keyval"].options
    assert options
    for name, option in options.items():
        schema[name].parse(option.value)
    variables = {kind.env for kind in schema.values()}
    assert set(re.findall(r"\(env (KEYVAL_\w+)\)", PAGE)) <= variables


def test_lines() -> None:
    """What is printed about the first example names its lines."""
    lines = examples(PAGE, "yaml")[0].splitlines()
    told = re.findall(r"^(?:\S+\.|blog-ann: )(\w+)\b.*\(\S+:(\d+)\)$", PAGE, re.MULTILINE)
    assert len(told) == 4
    assert [name for name, line in told if f"{name}:" not in lines[int(line) - 1]] == []


@pytest.mark.parametrize(
    "text", [*examples(PAGE, "yaml"), *(e for e in examples(SERVICES, "yaml") if CONFIG_NAME in e)]
)
def test_examples(text: str) -> None:
    """Each example is a valid config file."""
    config = parse_config(text.encode(), "example")
    assert config.plugins or config.apps.rows
