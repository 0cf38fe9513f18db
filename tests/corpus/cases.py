"""Reads the corpus; README.md beside this file describes its format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_ESCAPE = re.compile(r"\\(?:([rnt0\\])|x([0-9a-fA-F]{2})|\{(\d+)\*(.+?)\}(?!\}))")
_LETTERS = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


@dataclass(frozen=True)
class Case:
    """One file of the corpus."""

    name: str
    expected: tuple[str, ...]
    data: bytes

    def __str__(self) -> str:
        return self.name


def load_cases(kind: str) -> list[Case]:
    """All cases of a folder: "valid", "invalid", "handshake" or "frames"."""
    folder = Path(__file__).parent / kind
    return [_load(path) for path in sorted(folder.iterdir())]


def _load(path: Path) -> Case:
    expected: list[str] = []
    text = ""
    for line in path.read_text("utf-8").splitlines():
        if not text and line.startswith("# "):
            continue
        if not text and line.startswith("> "):
            expected.append(line[2:])
        else:
            text += line
    return Case(path.stem, tuple(expected), unescape(text).encode("latin-1"))


def unescape(text: str) -> str:
    r"""`r"a\r\n\{3*b}"` -> "a\r\nbbb"."""

    def replace(match: re.Match[str]) -> str:
        letter, byte, times, repeated = match.groups()
        if letter:
            return _LETTERS[letter]
        if byte:
            return chr(int(byte, 16))
        return unescape(repeated) * int(times)

    return _ESCAPE.sub(replace, text)
