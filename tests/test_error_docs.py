"""docs/errors.md has each error code, with its statuses."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.test_docs import rows

ROOT = Path(__file__).resolve().parents[1]
API, _, COMMANDS = (ROOT / "docs/errors.md").read_text("utf-8").partition("\n## Commands\n")


def calls(folder: str, pattern: str) -> Iterator[tuple[str, list[object]]]:
    """Each call in the code: the name of the function, and what is constant among its arguments.

    Only of files in which `pattern` occurs: most have no error, and parsing takes seconds.
    """
    texts = [path.read_text("utf-8") for path in sorted((ROOT / folder).rglob("*.py"))]
    for text in filter(re.compile(pattern).search, texts):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                given = [arg.value if isinstance(arg, ast.Constant) else None for arg in node.args]
                yield node.func.id, given


def test_answers() -> None:
    """Each code that the runtime answers with has a row, which has all of its statuses."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for _, given in calls("buntime", r"\(\s*[45]\d\d\b"):
        match given:
            case [int(status), str(code), *_] if 400 <= status < 600:
                wanted[code].add(status)
    assert len(wanted) > 100
    told = {
        code: {int(status) for status in row[1].split(", ")}
        for row in rows(API)
        for code in re.findall(r"`(\w+)`", row[0])
    }
    assert told.pop("state_off") == {409}  # of the one class that has no arguments
    assert told == wanted


def test_archives() -> None:
    """docs/deploys.md has the code of each archive that is refused."""
    page = (ROOT / "docs/deploys.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (ROOT / "buntime").rglob("*.py"))
    wanted = set(re.findall(r'"(archive_\w+)"', code))
    told = set(re.findall(r"`(archive_\w+)`", page + API))
    assert told == wanted


def test_commands() -> None:
    """Each code of a command's own error has a row, and there are no others."""
    kinds = ("CommandError", "ApiError")
    wanted = {
        given[0]
        for name, given in calls("buntime/commands", "|".join(kinds))
        if name in kinds and given and isinstance(given[0], str)
    }
    told = {code for row in rows(COMMANDS) for code in re.findall(r"`(\w+)`", row[0])}
    assert told - MADE == wanted


# Codes that are put together: from the action of `buntime data`, and from what answered.
MADE = {"backup_failed", "restore_failed", "list_failed", "not_a_buntime", "proxy"}
