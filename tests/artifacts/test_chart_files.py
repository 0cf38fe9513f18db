"""Generated files of the Helm chart match the tables, and the chart has all settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from artifacts.chart.files import CHART, PLUGINS, made, sections, stale, write
from artifacts.chart.settingvalues import DECIDED, value_name
from buntime.core.settings.setting import Situation
from buntime.core.settings.settingtable import SETTINGS
from buntime.core.values.units import BadValue

HERE = Situation("binary", 2, "/", False, {}, "production")


def test_nothing_is_stale() -> None:
    """values.yaml and the others match the tables; otherwise run `python3 build.py chart`."""
    assert stale() == [], "run `python3 build.py chart`"


def test_a_change_is_seen(tmp_path: Path) -> None:
    """A file that was changed by hand is stale, and is written again."""
    assert len(write(tmp_path)) == len(made())
    (tmp_path / "values.yaml").write_text("kind: Deployment\n", "utf-8")
    assert stale(tmp_path) == ["values.yaml"]
    assert write(tmp_path) == ["values.yaml"]
    assert stale(tmp_path) == []


def test_each_setting_is_a_value_or_decided() -> None:
    """A setting is in `settings`, in `secretSettings`, or decided by the chart."""
    names = yaml.safe_load((CHART / "files/names.yaml").read_text("utf-8"))
    told = {*names["settings"].values(), *names["secretSettings"].values(), *names["decided"]}
    assert {setting.variable for setting in SETTINGS} <= told
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert {*names["settings"]} == {*values["settings"]}


def test_values_and_schema_have_the_same() -> None:
    """Each value in values.yaml is a property of the schema, and vice versa."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    del schema["properties"]["global"]
    rows = {row.path: row.default for section in sections() for row in section.rows}
    assert {*_paths(schema)} == rows.keys()
    for path, default in rows.items():
        here: Any = values
        for part in path.split("."):
            here = here[part]
        assert here == default, path


def _paths(schema: dict[str, Any], above: str = "") -> list[str]:
    """The paths of values; a mapping with a description counts as one value."""
    found = []
    for name, each in schema["properties"].items():
        path = f"{above}{name}"
        if "description" in each:
            found.append(path)
        else:
            assert each["additionalProperties"] is False
            found += _paths(each, f"{path}.")
    return found


def test_passwords_have_no_value() -> None:
    """For a secret, the values name a Secret and have no place for the text itself."""
    paths = [row.path for section in sections() for row in section.rows]
    for setting in SETTINGS:
        if setting.secret and setting.variable not in DECIDED:
            assert f"settings.{value_name(setting)}" not in paths
            assert f"secretSettings.{value_name(setting)}.secret" in paths
    for manifest in PLUGINS.glob("*/buntime.yaml"):
        said = yaml.safe_load(manifest.read_text("utf-8"))
        for option, kind in said.get("config", {}).items():
            path = f"plugins.{said['name']}.options.{option}"
            assert (path in paths) == (kind["type"] != "password")


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.variable for setting in SETTINGS])
def test_bounds_are_those_of_the_setting(setting: Any) -> None:
    """If the schema has a bound, the runtime accepts the bound and nothing beyond it."""
    least, most = setting.kind.least, setting.kind.most
    if setting.kind.word == "NUMBER":
        assert least is not None
    for bound, beyond in ((least, -1), (most, 1)):
        if bound is not None:
            setting.kind.parse(str(bound), HERE)
            with pytest.raises(BadValue):
                setting.kind.parse(str(bound + beyond), HERE)


def test_questions_are_about_values() -> None:
    """Each of Rancher's questions is about a value, with its default; so is each condition."""
    asked = yaml.safe_load((CHART / "questions.yaml").read_text("utf-8"))["questions"]
    rows = {row.path: row for section in sections() for row in section.rows}
    assert len(asked) > 15
    for question in asked:
        row = rows[question["variable"]]
        assert question["default"] == row.default
        if "options" in question:
            assert question["options"] == row.schema["enum"]
        if condition := question.get("show_if"):
            assert condition.partition("=")[0] in rows
