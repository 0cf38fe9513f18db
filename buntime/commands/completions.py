"""`buntime completions SHELL`: completions for bash, zsh and fish, written by shtab.

shtab reads one parser with a subparser for each command. It does not support an optional command,
like `serve`: `_SERVE_IS_DEFAULT` adds that to what it writes for bash and zsh.
"""

import argparse
import re
import sys

import shtab

from buntime.commands.arguments import Command, Parser, one_word
from buntime.commands.cli import COMMANDS, module_of
from buntime.core.errors import UsageError
from buntime.core.settings.setting import Mode
from buntime.core.values.wording import shown

SHELLS = ("bash", "zsh", "fish")
_FOLDERS = frozenset(("DIR", "DIR:DIR"))
_FILES = frozenset(("PATH", "PROGRAM", "NAME"))
_MEANING_CHARS = 70

# Names of apps, by the control socket of this machine; nothing if no runtime has one.
_APPS = {
    "bash": "_buntime_names",
    "zsh": "_buntime_names",
    "fish": "(buntime --names (commandline -ct) 2>/dev/null)",
    "preamble": {
        # Bash splits "shop@1.2.0" into three words unless told otherwise.
        "bash": """
COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}
_buntime_names() {
  compgen -W "$(buntime --names "$1" 2>/dev/null)" -- "$1"
}
""",
        "zsh": """
_buntime_names() {
  local -a names
  names=(${(f)"$(buntime --names "$PREFIX" 2>/dev/null)"})
  (( $#names )) && compadd -- "${names[@]}"
}
""",
    },
}
# The words of `buntime plugins`: the action, then folders, or names of plugins.
_PLUGINS = {
    "bash": "_buntime_plugins",
    "zsh": "_buntime_plugins",
    "fish": "(buntime --names (commandline -ct) (commandline -opc) 2>/dev/null)"
    " (__fish_complete_path (commandline -ct))",
    "preamble": {
        "bash": """
_buntime_plugins() {
  compgen -W "$(buntime --names "$1" "${COMP_WORDS[@]:0:COMP_CWORD}" 2>/dev/null)" -- "$1"
  case " ${COMP_WORDS[*]} " in
    *" list "*|*" check "*) compgen -d -- "$1" ;;
    *" install "*) compgen -f -- "$1" ;;
  esac
}
""",
        "zsh": """
_buntime_plugins() {
  local -a names
  names=(${(f)"$(buntime --names "$PREFIX" "${(@)words[1,CURRENT-1]}" 2>/dev/null)"})
  (( $#names )) && compadd -- "${names[@]}"
  [[ " $words " == *" list "* || " $words " == *" check "* ]] && _files -/
  [[ " $words " == *" install "* ]] && _files
}
""",
    },
}

# The variables and functions named here are those of shtab's scripts. In zsh, `(*)::` of shtab
# takes one word where `nargs="*"` takes any number.
_SERVE_IS_DEFAULT = {
    "bash": '_shtab_buntime_pos_0_choices=("${_shtab_buntime_pos_1_choices[@]}")',
    "zsh": r"""
_shtab_buntime() {
  local command each specs
  for each in "${(@)words[2,CURRENT-1]}"; do
    if [[ -n ${(P)${:-_shtab_buntime_${each//-/_}_options}} ]]; then command=$each; break; fi
  done
  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then _shtab_buntime_commands; fi
  specs=_shtab_buntime_${${command:-serve}//-/_}_options
  _arguments -s "${(@)${(@P)specs}/#\(\*\)::/*:}"
}
""",
}


def parser() -> Parser:
    made = Parser(
        "buntime completions SHELL",
        "Print completions of the command line for a shell.",
        "To use them see docs/deployment.md.",
        examples=("buntime completions bash > /etc/bash_completion.d/buntime",),
    )
    made.add_words("SHELL", f"one of {', '.join(SHELLS)}")
    return made


def run(command: Command, mode: Mode) -> int:
    shell = one_word(command, f"a shell: {', '.join(SHELLS)}")
    if shell not in SHELLS:
        raise UsageError(f"no completions for {shown(shell)}; there are {', '.join(SHELLS)}")
    script = shtab.complete(_whole(), shell, preamble=_SERVE_IS_DEFAULT.get(shell, ""))
    sys.stdout.write(script.rstrip("\n") + "\n")
    return 0


def _whole() -> argparse.ArgumentParser:
    """The whole command line as one parser: the words and flags of `serve`, then the commands."""
    whole = argparse.ArgumentParser("buntime", parents=[_described("serve")], add_help=False)
    commands = whole.add_subparsers(parser_class=argparse.ArgumentParser)
    for name, meaning in COMMANDS.items():
        parents = [_described(name)]
        commands.add_parser(
            name, help=meaning, description=meaning, parents=parents, add_help=False
        )
    return whole


def _described(name: str) -> Parser:
    """The parser of a command, whose flags and words say what a shell offers for them."""
    made = module_of(name).parser()
    for action in made.actions():
        _describe(action)
    return made


def _describe(action: argparse.Action) -> None:
    word = str(action.metavar)
    if word in _FOLDERS | _FILES:
        offered = shtab.DIRECTORY if word in _FOLDERS else shtab.FILE
        action.complete = offered  # type: ignore[attr-defined]  # shtab looks for it there
    elif word == "APP":
        action.complete = _APPS  # type: ignore[attr-defined]  # ditto
    elif word == "PLUGIN":
        action.complete = _PLUGINS  # type: ignore[attr-defined]  # ditto
    elif word == "SHELL":
        action.choices = SHELLS
    elif "|" in word:
        action.choices = word.split("|")
    action.metavar = None  # shtab does not quote it, and DIR:DIR has a colon
    action.help = _short(action.help or "")


def _short(meaning: str) -> str:
    """What a flag does, without its variable and default, on one line of a terminal."""
    meaning = re.sub(r" \[[^\[\]]*\]$", "", meaning)
    if len(meaning) > _MEANING_CHARS:
        meaning = meaning[:_MEANING_CHARS].rpartition(" ")[0] + " ..."
    return meaning
