"""`buntime completions SHELL`: completions for bash, zsh and fish.

Made from what the parsers of the commands declare: flags with their meaning, choices, and whether
a file, a folder or another value follows.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from buntime.commands.arguments import WORDS, Command, Parser, one_word
from buntime.commands.cli import COMMANDS, module_of
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown

_FOLDERS = frozenset(("DIR", "DIR:DIR"))
_FILES = frozenset(("PATH", "PROGRAM", "NAME"))
_MEANING_CHARS = 70


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as shells are told of it. `value`: "", "folder", "file" or "other"."""

    names: tuple[str, ...]
    meaning: str
    value: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Described:
    """A command as shells are told of it; `words` is what follows it, as of a flag."""

    name: str
    meaning: str
    flags: tuple[Flag, ...]
    words: str
    word_choices: tuple[str, ...] = ()


def parser() -> Parser:
    made = Parser(
        "buntime completions SHELL",
        "Print completions of the command line for a shell.",
        "To use them see docs/deployment.md.",
    )
    made.add_words("SHELL", f"one of {', '.join(SHELLS)}")
    return made


def run(command: Command, mode: Mode) -> int:
    shell = one_word(command, f"a shell: {', '.join(SHELLS)}")
    if shell not in SHELLS:
        raise UsageError(f"no completions for {shown(shell)}; there are {', '.join(SHELLS)}")
    sys.stdout.write(SHELLS[shell]([_describe(name) for name in COMMANDS]))
    return 0


def _describe(name: str) -> Described:
    parser = module_of(name).parser()
    actions = parser.actions()
    flags = tuple(_flag(action) for action in actions if action.option_strings)
    words = next((str(action.metavar) for action in actions if action.dest == WORDS), "")
    choices = tuple(SHELLS) if name == "completions" else ()
    return Described(name, COMMANDS[name], flags, _value_of(words), choices)


def _flag(action: argparse.Action) -> Flag:
    meaning = re.sub(r" \[.*\]$", "", (action.help or "").replace("%%", "%"))
    if len(meaning) > _MEANING_CHARS:
        meaning = meaning[:_MEANING_CHARS].rpartition(" ")[0] + " ..."
    word = "" if action.nargs == 0 else str(action.metavar or action.dest)
    choices = tuple(map(str, action.choices or ()))
    if not choices and "|" in word:
        choices = tuple(word.split("|"))
    return Flag(tuple(action.option_strings), meaning, _value_of(word), choices)


def _value_of(word: str) -> str:
    if word in _FOLDERS:
        return "folder"
    return "file" if word in _FILES else "other" if word else ""


def _bash(commands: list[Described]) -> str:
    flags = {flag.names: flag for command in commands for flag in command.flags}.values()
    cases = []
    for flag in flags:
        names = "|".join(flag.names)
        if flag.choices:
            cases.append(f'    {names}) COMPREPLY=($(compgen -W "{" ".join(flag.choices)}" '
                         '-- "$word")); return ;;')  # fmt: skip
        elif flag.value in ("folder", "file"):
            kind = "-d" if flag.value == "folder" else "-f"
            cases.append(f'    {names}) COMPREPLY=($(compgen {kind} -- "$word")); return ;;')
        elif flag.value:
            cases.append(f"    {names}) COMPREPLY=(); return ;;")
    known = []
    for command in commands:
        words = " ".join(name for flag in command.flags for name in flag.names)
        known.append(f'    {command.name}) flags="{words}" ;;')
    names = " ".join(command.name for command in commands)
    shells = " ".join(SHELLS)
    return "\n".join([
        "# bash completion of buntime, made by `buntime completions bash`",
        "_buntime() {",
        '  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '  local command=serve flags each',
        "  COMPREPLY=()",
        '  case "$before" in',
        *cases,
        "  esac",
        '  for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        f'    case " {names} " in *" $each "*) command="$each"; break ;; esac',
        "  done",
        '  case "$command" in',
        *known,
        "  esac",
        '  if [[ "$word" == -* ]]; then',
        '    COMPREPLY=($(compgen -W "$flags" -- "$word"))',
        '  elif [[ "$command" == completions ]]; then',
        f'    COMPREPLY=($(compgen -W "{shells}" -- "$word"))',
        "  else",
        "    compopt -o filenames 2>/dev/null",
        '    COMPREPLY=($(compgen -d -- "$word"))',
        f'    if ((COMP_CWORD == 1)); then COMPREPLY+=($(compgen -W "{names}" -- "$word")); fi',
        "  fi",
        "}",
        "complete -F _buntime buntime",
        "",
    ])  # fmt: skip


def _zsh(commands: list[Described]) -> str:
    lines = [
        "#compdef buntime",
        "# zsh completion of buntime, made by `buntime completions zsh`",
        "_buntime() {",
        "  local command=serve each",
        "  local -a commands=(",
        *(f"    {_quote(f'{each.name}:{each.meaning}')}" for each in commands),
        "  )",
        '  for each in "${(@)words[2,CURRENT-1]}"; do',
        "    if (( ${commands[(I)$each:*]} )); then command=$each; break; fi",
        "  done",
        "  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then",
        "    _describe -t commands command commands",
        "  fi",
        "  case $command in",
    ]
    for command in commands:
        lines += [f"    {command.name})", "      _arguments -s \\"]
        lines += [f"        {_quote(spec)} \\" for spec in _zsh_specs(command)]
        lines += ["        ;;"]
    return "\n".join([*lines, "  esac", "}", '_buntime "$@"', ""])


def _zsh_specs(command: Described) -> Iterator[str]:
    for flag in command.flags:
        meaning = re.sub(r"([\[\]:])", r"\\\1", flag.meaning)
        value = _zsh_value(flag.value, flag.choices)
        for name in flag.names:
            others = " ".join(flag.names) if len(flag.names) > 1 else ""
            head = f"({others})" if others else "" if flag.value == "" else "*"
            yield f"{head}{name}[{meaning}]{value}"
    if command.words:
        yield f"*{_zsh_value(command.words, command.word_choices)}"


def _zsh_value(value: str, choices: tuple[str, ...]) -> str:
    if choices:
        return f":value:({' '.join(choices)})"
    return {"": "", "folder": ":folder:_files -/", "file": ":file:_files", "other": ":value:"}[
        value
    ]


def _fish(commands: list[Described]) -> str:
    names = " ".join(command.name for command in commands)
    lines = [
        "# fish completion of buntime, made by `buntime completions fish`",
        "complete -c buntime -f",
        "complete -c buntime -a '(__fish_complete_directories)'",
    ]
    none_yet = f"not __fish_seen_subcommand_from {names}"
    for command in commands:
        about = f"-a {command.name} -d {_quote(command.meaning)}"
        lines.append(f"complete -c buntime -n {_quote(none_yet)} {about}")
        when = f"__fish_seen_subcommand_from {command.name}"
        if command.name == "serve":
            when += f"; or {none_yet}"
        more = [f"-a {choice}" for choice in command.word_choices]
        more += map(_fish_flag, command.flags)
        lines += [f"complete -c buntime -n {_quote(when)} {each}" for each in more]
    return "\n".join([*lines, ""])


def _fish_flag(flag: Flag) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.choices:
        words.append(f"-x -a {_quote(' '.join(flag.choices))}")
    elif flag.value == "folder":
        words.append("-x -a '(__fish_complete_directories)'")
    elif flag.value:
        words.append("-r -F" if flag.value == "file" else "-x")
    return " ".join([*words, f"-d {_quote(flag.meaning)}"])


def _quote(text: str) -> str:
    """For zsh and fish alike, in single quotes; no backslash stands before a quote or another."""
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: dict[str, Callable[[list[Described]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
