"""docs/cli.md tells each command and each of its flags, with examples that are lines of it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from buntime.commands.arguments import FLAGS_ALONE, Parser
from buntime.commands.cli import COMMANDS, help_text, module_of, parse_command
from buntime.core.settings.load import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
DOC = (ROOT / "docs/cli.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", DOC, re.DOTALL | re.MULTILINE))
# What stands once for all commands, at the top of the page.
COMMON = {"-h", "--help", "-V", "--version", "--json", "--to", "--state-dir", "--insecure"}
OF_SETTINGS = {setting.flag for setting in SETTINGS if setting.flag}


def parser_of(name: str) -> Parser:
    return module_of(name).parser()


def own_flags(name: str) -> set[str]:
    """The flags of a command that no other page tells."""
    flags = set(parser_of(name).flags())
    if {"--port", "--env-file"} <= flags:  # it takes all settings
        flags -= OF_SETTINGS
    return flags - COMMON


def told_flags(section: str) -> set[str]:
    rows = re.findall(r"^\| `(-[^`]+)`", section, re.MULTILINE)
    return {flag.split()[0] for row in rows for flag in row.split(", ")}


def test_every_command() -> None:
    """Each command has a section, and no other has."""
    assert list(SECTIONS) == list(COMMANDS), "`### NAME` in docs/cli.md, in the order of COMMANDS"


def test_every_flag() -> None:
    """Each flag of a command has a row in its section, and no other has."""
    for name in COMMANDS:
        assert told_flags(SECTIONS[name]) - {"--version"} == own_flags(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help has examples; they stand in the section, and are lines that the command takes."""
    monkeypatch.chdir(tmp_path)  # where no folder bears a command's name
    help_ = help_text(name).partition("\nexample")[2].partition("\n")[2]
    examples = [line.strip() for line in help_.partition("\n\n")[0].splitlines() if line]
    assert examples, f"`examples=` of the parser of {name}"
    for example in examples:
        assert example in SECTIONS[name]
        words = shlex.split(example.partition(" > ")[0].partition(" < ")[0].partition(" | ")[0])
        line = words[words.index("buntime") + 1 :]
        assert parse_command(line).name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_without_values(name: str) -> None:
    """A flag that takes no value is known as such where the command has not been found yet."""
    actions = [each for each in parser_of(name).actions() if each.option_strings]
    alone = {flag for each in actions if each.nargs == 0 for flag in each.option_strings}
    assert alone <= set(FLAGS_ALONE), "FLAGS_ALONE of commands/arguments.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_common(name: str) -> None:
    """A section says whether the command asks a runtime, and whether it answers in JSON."""
    flags, section = parser_of(name).flags(), SECTIONS[name]
    assert ("(#which-runtime)" in section) == ("--to" in flags)
    assert ("`--json`" in section) == ("--json" in flags)


def test_exit_codes() -> None:
    """The codes that commands end with stand in the table, with what they mean."""
    table = DOC.partition("## Exit codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([0-9]+) \|", table, re.MULTILINE)) >= set("01234") | {"130"}
