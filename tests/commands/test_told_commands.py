"""Commands that the API and the panel show are lines that the command line accepts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.commands.cli import parse_command
from buntime.core.admin import attention
from tests.support.harness import ROOT

SCRIPTS = sorted((ROOT / "plugins/cpanel/page/js").rglob("*.js"))
VALUE = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")
QUOTED = re.compile(r"""(["`])(buntime [a-z]+(?: (?:\$\{(?:[^{}]|\{[^{}]*\})*\}|[^"`$])*)?)\1""")


def of_attention() -> Iterator[str]:
    app = {"app": "@acme/shop", "bootFailures": 1, "bootError": "x"}
    deploy = {"app": "shop", "version": "1.0.0", "kind": "deploy", "failed": "booted"}
    items = [
        attention.of_boot(app),
        attention.of_boot(app, ["STRIPE_KEY"]),
        attention.of_boot(app | {"bootFailures": 9}),
        *attention.of_fault("shop", ["x"]),
        attention.of_deaths("shop", 3, "x"),
        attention.of_failed_requests("shop", 100, 100),
        attention.of_plugin("audit", "failed", "x", guards=True),
        attention.of_closed("x"),
        attention.of_deploy(deploy),
        attention.of_job("shop", "tidy", "failed", "x"),
        attention.of_maintenance("shop", "soon"),
        attention.of_state("x"),
        attention.of_standstills(1, 1.0),
    ]
    for item in items:
        assert item is not None
        yield item.command


def of_panel() -> Iterator[str]:
    for script in SCRIPTS:
        for _, line in QUOTED.findall(script.read_text("utf-8")):
            yield from VALUE.sub(one_of, line).split(" && ")


def one_of(value: re.Match[str]) -> str:
    """A value for `${is ? "disable" : "enable"}`: the first word; for `${name}`: x."""
    word = re.search(r'\? "([\w-]+)"', value[0])
    return word[1] if word else "x"


LINES = sorted({*of_attention(), *of_panel()})


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words and flags of each line belong to a command."""
    monkeypatch.chdir(tmp_path)  # a folder here could have a command's name
    command = parse_command(shlex.split(line)[1:])
    assert command.name == line.split()[1]


def test_there_are_some() -> None:
    """The search finds the commands that it should."""
    assert {"buntime audit --verify", "buntime recycle x", "buntime doctor"} <= set(LINES)
    assert len(LINES) > 25
