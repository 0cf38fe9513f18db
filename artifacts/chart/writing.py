"""Rows to text: values.yaml, questions.yaml, the tables of README.md."""

import json
import re
import textwrap
from collections.abc import Iterable, Iterator

from artifacts.chart.rows import Row, Section

MADE = "# Written by `python3 build.py chart`; change its tables in artifacts/chart, not this."
_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 ./:_-]*")
_WORDS = frozenset("true false yes no on off null y n".split())  # no plain texts in YAML


def values_text(sections: Iterable[Section]) -> str:
    """values.yaml: all values with their defaults and meanings."""
    lines = [MADE, "# docs/kubernetes.md tells how they go together."]
    open_: list[str] = []
    for section in sections:
        lines += ["", f"# -- {section.title}"]
        for row in section.rows:
            lines += _value_lines(row, open_)
    return "\n".join([*lines, ""])


def _value_lines(row: Row, open_: list[str]) -> Iterator[str]:
    """The lines of a value; `open_` are the mappings that contain the lines before it."""
    *parents, name = row.path.split(".")
    common = 0
    while common < min(len(parents), len(open_)) and parents[common] == open_[common]:
        common += 1
    for depth in range(common, len(parents)):
        yield f"{'  ' * depth}{_key(parents[depth])}:"
    open_[:] = parents
    indent = "  " * len(parents)
    for line in textwrap.wrap(row.meaning, _WIDTH - len(indent) - 2):
        yield f"{indent}# {line}"
    yield f"{indent}{_key(name)}: {scalar(row.default)}"


def _key(name: str) -> str:
    return (
        name if re.fullmatch(r"[A-Za-z][\w-]*", name) and name not in _WORDS else json.dumps(name)
    )


def scalar(value: object) -> str:
    """A value on one line of YAML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)}: {scalar(each)}" for key, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(scalar, value))}]"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and ": " not in value
    if is_plain and str(value).lower() not in _WORDS and not str(value).endswith((" ", ":")):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def questions_text(sections: Iterable[Section]) -> str:
    """questions.yaml, which Rancher's catalogue asks."""
    lines = [MADE, "questions:"]
    for section in sections:
        for row in section.rows:
            if row.question is None:
                continue
            said = {
                "variable": row.path,
                "label": row.question.label,
                "description": row.meaning,
                "type": _question_type(row),
                "options": row.schema.get("enum"),
                "default": row.default,
                "group": section.title,
                "show_if": row.question.show_if or None,
            }
            first = "  - "
            for key, value in said.items():
                if value is not None:
                    lines.append(f"{first}{key}: {scalar(value)}")
                    first = "    "
    return "\n".join([*lines, ""])


def _question_type(row: Row) -> str:
    if "enum" in row.schema:
        return "enum"
    if row.path.endswith("storageClass"):
        return "storageclass"
    if row.path.endswith(("secret", "Secret")):
        return "secret"
    kinds: dict[type, str] = {bool: "boolean", int: "int"}
    return kinds.get(type(row.default), "string")


def readme_text(sections: Iterable[Section], about: str) -> str:
    """README.md: the text of `about`, and a table of values for each section."""
    lines = [about.rstrip()]
    for section in sections:
        lines += ["", f"### {section.title}", "", "| value | default | meaning |", "|---|---|---|"]
        for row in section.rows:
            default = scalar(row.default).replace("|", r"\|")
            meaning = row.meaning.replace("|", r"\|")
            lines.append(f"| `{row.path}` | `{default}` | {meaning} |")
    return "\n".join([*lines, ""])
