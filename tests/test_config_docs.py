"""docs/config.md describes every key of the config file, as the code defines them."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.core.config.configfile import CONFIG_NAME, KEYS, SIZE_MAX_BYTES, parse_config
from tests.test_docs import examples, rows

PAGE = (Path(__file__).parents[1] / "docs/config.md").read_text("utf-8")
SERVICES = (Path(__file__).parents[1] / "docs/services.md").read_text("utf-8")


def test_keys() -> None:
    """There is a row for each key, and no other row."""
    told = [row for row in rows(PAGE) if row[0].startswith(("`plugins", "`apps", "`access"))]
    assert told == [[f"`{key.path}`", key.kind, key.meaning] for key in KEYS]


def test_numbers_and_names() -> None:
    """The file's name and size limit are those of the code."""
    assert f"`{CONFIG_NAME}`" in PAGE
    assert f"{SIZE_MAX_BYTES >> 10} KiB" in PAGE


@pytest.mark.parametrize(
    "text", [*examples(PAGE, "yaml"), *(e for e in examples(SERVICES, "yaml") if CONFIG_NAME in e)]
)
def test_examples(text: str) -> None:
    """Each example is a valid config file."""
    config = parse_config(text.encode(), "example")
    assert config.plugins or config.apps.rows
