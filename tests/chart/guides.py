"""Pages as a reader follows them: the files that they show, and the commands that they give.

A block whose first line is `# NAME` is that file from there on; `--values values.yaml` is the file
of that name shown last. Commands are in `sh` blocks and in code within sentences.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.chart.helm import ROOT

GUIDES = ("docs/kubernetes.md", "docs/k3s-rancher.md", "docs/openshift.md")
PROGRAMS = ("helm", "kubectl", "oc")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`((?:helm|kubectl|oc)\s[^`]+)`")
_INNER = re.compile(r"\$\(([^()]*)\)")


class Command(NamedTuple):
    """A command, and the files that the page has shown before it."""

    words: tuple[str, ...]
    files: dict[str, str]

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(page: str) -> list[tuple[str, str]]:
    """The code blocks: `("sh", "helm version\\n")`."""
    return _BLOCK.findall((ROOT / page).read_text("utf-8"))


def commands(page: str) -> list[Command]:
    """Every command of one of PROGRAMS, in the order of the page."""
    text = (ROOT / page).read_text("utf-8")
    found, files = [], {"master.key": "0" * 64}
    for match in re.finditer(f"{_BLOCK.pattern}|{_INLINE.pattern}", text, re.DOTALL | re.MULTILINE):
        language, block, inline = match.groups()
        if language == "yaml" and (name := named(block)):
            files[name] = block
        lines = (
            block.replace("\\\n", " ").splitlines()
            if language == "sh"
            else [" ".join((inline or "").split())]
        )
        for line in lines:
            found += [Command(words, dict(files)) for words in typed(line)]
    return found


def named(block: str) -> str:
    """`"# values.yaml\\n..."` -> `"values.yaml"`; "" for a block that is not a file."""
    first = re.match(r"# (\S+)\n", block)
    return first[1] if first else ""


def typed(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line: `"A=b helm x && oc y > z"` -> `("helm", "x")`, `("oc", "y")`."""
    for inner in _INNER.findall(line):
        yield from typed(inner)
    lexer = shlex.shlex(_INNER.sub("x", line), posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("&|;<>"):
            yield from _of_ours(words)
            words = []
        else:
            words.append(word)


def _of_ours(words: list[str]) -> Iterator[tuple[str, ...]]:
    while words and re.match(r"[A-Z_]+=|until$|sudo$|k3s$", words[0]):
        words = words[1:]
    if words and words[0] in PROGRAMS:
        yield tuple(words)


def shown(page: str) -> list[tuple[str, str]]:
    """The YAML blocks of a page: each one's file name or "", and its text."""
    return [(named(text), text) for language, text in blocks(page) if language == "yaml"]


def lay(files: dict[str, str], folder: Path) -> None:
    """Write the files that a command may name, except those in other folders."""
    for name, text in files.items():
        if "/" not in name:
            (folder / name).write_text(text, "utf-8")
