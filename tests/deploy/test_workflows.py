"""The forge's workflows: what they run exists, and what they use is pinned."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import build
from tests.support.harness import ROOT

FORGE = ROOT / ".github"
WORKFLOWS = sorted(FORGE.glob("workflows/*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "docs/cli.md"], ids=lambda path: path.name)
def test_pins(path: Path) -> None:
    """Each action is pinned by a commit's hash, with its version beside it."""
    uses = re.findall(r"^\s*(?:- )?uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)
    assert uses
    assert [each for each in uses if not PINNED.fullmatch(each)] == []


def test_one_pin_each() -> None:
    """An action has the same version in all workflows."""
    text = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    pins = set(re.findall(r"uses: ([^@\n]+)@(\S+)", text))
    assert len(pins) == len({name for name, _ in pins})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_is_run(path: Path) -> None:
    """Each script is valid bash, and its tasks of build.py and paths of tests/ exist."""
    for script in (step["run"] for step in steps(path) if "run" in step):
        plain = re.sub(r"\$\{\{.*?\}\}", "x", script)
        bash = ["bash", "-n"]
        done = subprocess.run(bash, input=plain, text=True, capture_output=True, check=True)
        assert done.stderr == ""
        assert set(re.findall(r"build\.py (\w+)", script)) <= build.TASKS.keys()
        assert [p for p in re.findall(r"\btests/[\w./-]+", script) if not (ROOT / p).exists()] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights(path: Path) -> None:
    """A token has only the rights that a job lists, and a checkout keeps none."""
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for step in steps(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_pythons() -> None:
    """Pull requests are tested on each Python from the oldest on."""
    [path] = [path for path in WORKFLOWS if path.stem == "pull-request"]
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    pythons = jobs["linux"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert jobs["macos"]["runs-on"].startswith("macos-")


@pytest.mark.parametrize("path", sorted(FORGE.glob("ISSUE_TEMPLATE/*.yml")), ids=lambda p: p.name)
def test_issue_forms(path: Path) -> None:
    """A form has what the forge needs to show it."""
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.stem == "config":
        assert form.keys() <= {"blank_issues_enabled", "contact_links"}
        return
    assert {"name", "description", "body"} <= form.keys()
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len({*ids}) > 0
    assert all("label" in field["attributes"] for field in form["body"] if "id" in field)
