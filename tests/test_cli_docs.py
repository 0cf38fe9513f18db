"""docs/cli.md describes each command and each of its flags; its examples are valid command
lines."""

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
# Flags described once for all commands, at the top of the page.
COMMON = {"-h", "--help", "-V", "--version", "--json", "--to", "--state-dir", "--insecure"}
OF_SETTINGS = {setting.flag for setting in SETTINGS if setting.flag}


def parser_of(name: str) -> Parser:
    return module_of(name).parser()


def own_flags(name: str) -> set[str]:
    """The flags of a command that no other page describes."""
    flags = set(parser_of(name).flags())
    if {"--port", "--env-file"} <= flags:  # it takes all settings
        flags -= OF_SETTINGS
    return flags - COMMON


def told_flags(section: str) -> set[str]:
    rows = re.findall(r"^\| `(-[^`]+)`", section, re.MULTILINE)
    return {flag.split()[0] for row in rows for flag in row.split(", ")}


def test_every_command() -> None:
    """Each command has a section, and there are no other sections."""
    assert list(SECTIONS) == list(COMMANDS), "`### NAME` in docs/cli.md, in the order of COMMANDS"


def test_every_flag() -> None:
    """Each flag of a command has a row in its section, and there are no other rows."""
    for name in COMMANDS:
        assert told_flags(SECTIONS[name]) - {"--version"} == own_flags(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a command's help are in its section, and the command accepts them."""
    monkeypatch.chdir(tmp_path)  # a folder here could have a command's name
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
    """A flag that takes no value is listed in FLAGS_ALONE, which is read before the command is
    known."""
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
    """Each exit code of the commands is in the table, with its meaning."""
    table = DOC.partition("## Exit codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| ([0-9]+) \|", table, re.MULTILINE)) >= set("01234") | {"130"}
