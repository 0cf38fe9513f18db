"""The pages have each key of a job, an access rule and a key in a file, each step, each code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from buntime.core.apps import cronkeys
from buntime.core.config import accessrules, keysfile
from buntime.core.deploys.steps import Step
from buntime.core.plugins import services
from tests.test_docs import examples, rows

DOCS = Path(__file__).resolve().parents[1] / "docs"
CODES = {"failed"} | {
    value
    for name, value in vars(services).items()
    if name.isupper() and isinstance(value, str) and not value.endswith(":")
}


def page(name: str, heading: str = "") -> str:
    """A page, or one section of it."""
    text = (DOCS / name).read_text("utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] if heading else text


def first_cells(text: str) -> list[str]:
    """The names in the first cells of a page's tables."""
    return [name for row in rows(text) for name in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (page("cron.md", "By the clock"), cronkeys.KEYS),
        (page("access.md", "Rules"), accessrules.KEYS),
        (page("deploys.md", "Steps"), [step.value for step in Step]),
        (page("services.md", "How a call fails"), CODES),
    ],
    ids=["jobs", "rules", "steps", "services"],
)
def test_tables(text: str, names: Iterable[str]) -> None:
    """A table has a row for each name, and no other row."""
    assert sorted(first_cells(text)) == sorted(names)


def test_bounds() -> None:
    """docs/cron.md says how many jobs and programs an app may have."""
    text = page("cron.md")
    assert f"An app may have {cronkeys.JOBS_MAX} jobs." in text
    assert f"An app may have {cronkeys.PROCESSES_MAX} of them." in text


def test_keys_in_a_file() -> None:
    """docs/keys.md shows each key of an entry in the keys file."""
    [example] = examples(page("keys.md", "Keys in a file"), "yaml")
    code = re.sub(r"#.*", "", example)
    assert set(re.findall(r"\b(\w+):(?= )", code)) == set(keysfile.KEYS)
