"""The docs describe every setting, flag and manifest key, as the tables in the code define them."""

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from buntime import wire
from buntime.core.access.publicroutes import PublicRoutes
from buntime.core.access.rights import ROLES, VERBS
from buntime.core.admin.apidocs import table
from buntime.core.admin.routes import ROUTES
from buntime.core.apps.environment import INHERITED_NAMES, INHERITED_PREFIX, RUNTIME_NAMES
from buntime.core.apps.manifest import KEYS, MANIFEST_NAMES, parse_manifest
from buntime.core.settings.dotenv import parse_dotenv
from buntime.core.settings.load import SETTINGS
from buntime.core.telemetry.meters import Cause, Cut, Drop
from buntime.core.telemetry.metrics import FAMILIES
from buntime.core.telemetry.records import OUTPUT, PLUGIN_OUTPUT, Level
from buntime.sdk.credentialnames import BLOCKED_PREFIXES, BLOCKED_SUFFIXES

ROOT = Path(__file__).resolve().parents[1]
SETTINGS_DOC = (ROOT / "docs/settings.md").read_text("utf-8")
MANIFEST_DOC = (ROOT / "docs/manifest.md").read_text("utf-8")
METRICS_DOC = (ROOT / "docs/metrics.md").read_text("utf-8")
LOGGING_DOC = (ROOT / "docs/logging.md").read_text("utf-8")


def rows(text: str) -> list[list[str]]:
    """The cells of each row of all tables in a page."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def examples(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_settings() -> None:
    """docs/settings.md has a row for each setting: variable, flag, default and meaning."""
    for setting in SETTINGS:
        flag = f"`{setting.flag}`" if setting.flag else "none"
        row = [f"`{setting.variable}`", flag, setting.default, setting.meaning]
        assert row in rows(SETTINGS_DOC)


def test_manifest_keys() -> None:
    """docs/manifest.md has a row for each key: name, kind, default and meaning."""
    for key in KEYS:
        row = [f"`{key.name}`", key.kind, key.default_text, key.meaning]
        assert row in rows(MANIFEST_DOC)


def test_live_settings() -> None:
    """docs/settings.md lists each setting that can change at run time, and no other."""
    section = SETTINGS_DOC.partition("\n## Changing settings\n")[2].partition("\n## ")[0]
    [listed] = [part for part in section.split("\n\n") if part.startswith("These change at once")]
    named = set(re.findall(r"`(RUNTIME_\w+)`", listed))
    assert named == {setting.variable for setting in SETTINGS if setting.live}


def test_no_unknown_settings() -> None:
    """docs/settings.md has no row for an unknown setting or flag, and no row twice."""
    names = [row[0].strip("`") for row in rows(SETTINGS_DOC)]
    named = [name for name in names if re.fullmatch(r"(?:RUNTIME|OTEL)_\w+|PORT|HOST", name)]
    assert sorted(named) == sorted(setting.variable for setting in SETTINGS)
    flags = {flag for row in rows(SETTINGS_DOC) for flag in re.findall(r"^`(--[a-z-]+)`$", row[1])}
    assert flags == {s.flag for s in SETTINGS if s.flag and s.flag.startswith("--")}


def test_no_unknown_manifest_keys() -> None:
    """docs/manifest.md has one row for each key, and no other."""
    table = MANIFEST_DOC.partition("| key | kind |")[2].partition("\n\n")[0]
    assert [row[0].strip("`") for row in rows(table)] == [key.name for key in KEYS]


def test_metrics() -> None:
    """docs/metrics.md has a row for each metric: name, kind, label and meaning."""
    for family in FAMILIES:
        label = f"`{family.label}`" if family.label else "none"
        assert [f"`{family.name}`", family.kind.value, label, family.meaning] in rows(METRICS_DOC)


@pytest.mark.parametrize("value", [*Cause, *Cut, *Drop])
def test_metric_labels(value: str) -> None:
    """docs/metrics.md explains each cause of death and each reason."""
    label = {Cause: "cause", Cut: "by", Drop: "reason"}[type(value)]
    assert [f"`{label}`", f"`{value}`"] in [row[:2] for row in rows(METRICS_DOC)]


def test_no_unknown_metrics() -> None:
    """No page describes a metric that does not exist."""
    named = {row[0].strip("`") for row in rows(METRICS_DOC)}
    known = {family.name for family in FAMILIES}
    assert {name for name in named if name.startswith("buntime_")} == known


class Logged(NamedTuple):
    """One place in the code that logs."""

    place: str
    event: str
    level: str
    message: str


# The names of a log's methods where they are passed to code that has no log of its own.
HANDED_ON = {"_error": "error", "_warn": "warn", "_warn_once": "warn", "_tell": "info"}


@cache
def logged() -> list[Logged]:
    """Each record that the runtime logs, except access lines and output of apps."""
    return [*_logged()]


def _logged() -> Iterator[Logged]:
    levels = {level.word: level.word for level in Level} | HANDED_ON
    # Most files log nothing, and parsing takes seconds.
    logs = re.compile(rf"\b(?:{'|'.join([*levels, 'Record'])})\(")
    for path in sorted((ROOT / "buntime").rglob("*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if logs.search(text) else ():
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in levels and len(node.args) > 1:
                (event, message), level = node.args[:2], levels[called]
            elif called == "Record" and len(node.args) > 1:
                _, named, event, message, _ = node.args  # arguments of records.Record
                level = ast.unparse(named).lower()
            else:
                continue
            place = f"{path.relative_to(ROOT)}:{node.lineno}"
            if not isinstance(event, ast.Name):  # otherwise it was passed in
                yield Logged(place, ast.literal_eval(event), level, ast.unparse(message))


def test_events() -> None:
    """docs/logging.md has a row for each event, with its levels, and no other rows."""
    used: dict[str, set[str]] = {"request.access": {"info"}, OUTPUT: {"info", "warn"}}
    used[PLUGIN_OUTPUT] = {"debug", "info", "warn", "error"}
    for each in logged():
        used.setdefault(each.event, set()).add(each.level)
    section = LOGGING_DOC.partition("## Events")[2].partition("\n## ")[0]
    told = {row[0].strip("`"): set(row[1].split(", ")) for row in rows(section)[1:]}
    assert told == used


def test_events_have_one_meaning() -> None:
    """An event code has a stable form, and the same message belongs to it wherever it is used."""
    meant: dict[str, Logged] = {}
    for each in logged():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", each.event), each
        assert meant.setdefault(each.event, each).message == each.message, each


def test_manifest_names() -> None:
    """Each file name that a manifest may have is in the docs."""
    assert [name for name in MANIFEST_NAMES if f"`{name}`" not in MANIFEST_DOC] == []


def test_environment_rules() -> None:
    """The docs list all variables that workers get, and all that they never get."""
    patterns = [f"{prefix}*" for prefix in (*BLOCKED_PREFIXES, INHERITED_PREFIX)]
    patterns += [f"*{suffix}" for suffix in BLOCKED_SUFFIXES]
    names = [*patterns, *INHERITED_NAMES, *RUNTIME_NAMES, "NODE_ENV"]
    assert [name for name in names if f"`{name}`" not in MANIFEST_DOC] == []


@pytest.mark.parametrize("text", examples(MANIFEST_DOC, "yaml"))
def test_manifest_examples(text: str) -> None:
    """Each example of a manifest is valid and gives no warning."""
    _, warnings = parse_manifest(
        text.encode(), path="example", body_default=10 << 20, body_max=100 << 20
    )
    assert warnings == ()


def test_dotenv_example() -> None:
    """The example of a `.env` is read as it looks."""
    [text] = [text for text in examples(SETTINGS_DOC, "sh") if text.startswith("# a comment")]
    assert parse_dotenv(text.encode(), path="example") == {
        "RUNTIME_WORKER_DIRS": "/srv/apps",
        "PORT": "9000",
        "RUNTIME_MASTER_KEY": "as it is, with # and $",
        "RUNTIME_LOG_FILE": 'with "quotes" and \t escapes',
    }


def test_public_route_examples() -> None:
    """The patterns in docs/manifest.md match what the table says, and nothing that it excludes."""
    table = [row for row in rows(MANIFEST_DOC) if row[0].startswith("`/")]
    assert len(table) == 4
    for pattern, covered, uncovered in table:
        public = PublicRoutes([("ALL", pattern.strip("`"))])
        for paths, expected in ((covered, True), (uncovered, False)):
            for path in re.findall("`(.*?)`", paths):
                assert public.cover("GET", path) == expected, (pattern, path)


def test_roles() -> None:
    """docs/keys.md has each role with its rights."""
    told = {row[0].strip("`"): row[1] for row in rows((ROOT / "docs/keys.md").read_text("utf-8"))}
    for role in ("viewer", "deployer"):
        assert set(re.findall(r"`(\S+)`", told[role])) == ROLES[role]
    missing = set(re.findall(r"`(\S+)`", told["operator"]))
    assert ROLES["operator"] == ROLES["admin"] - missing
    assert ROLES["admin"] == set(VERBS)


def test_routes() -> None:
    """docs/api.md has the table of routes; with UPDATE_DOCS=1 this test writes it."""
    path = ROOT / "docs/api.md"
    text = path.read_text("utf-8")
    start, end = "<!-- routes -->\n", "\n<!-- end of routes -->"
    before, _, rest = text.partition(start)
    told, _, after = rest.partition(end)
    expected = table(ROUTES.routes)
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(f"{before}{start}{expected}{end}{after}", "utf-8")
        return
    assert told.strip() == expected.strip(), "UPDATE_DOCS=1 pytest tests/test_docs.py -k routes"


def test_messages() -> None:
    """The message types of the channel are those in the table of docs/architecture.md, and in the
    page of the protocol."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    directions = {"both", "runtime to worker", "worker to runtime"}
    told = {row[0].strip("`") for row in rows(page) if len(row) == 3 and row[1] in directions}
    types = {name for name, value in vars(wire).items() if name == value}
    assert types == told
    assert types == set(re.findall(r"^    ([A-Z]+) +(?:both|R->W|W->R) ", wire.__doc__ or "", re.M))
