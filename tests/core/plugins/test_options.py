"""A plugin's options: the schema in its manifest, and values with their origins."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.options import Given, Options, resolve
from buntime.core.plugins.schema import TYPES, Schema, dump_schema, parse_schema
from buntime.core.values.units import BadValue

SCHEMA = parse_schema(
    {
        "path": {"type": "string", "default": "kv.db", "env": "KV_PATH", "max": 20},
        "days": {"type": "number", "min": 1, "max": 90, "label": "Days", "env": "KV_DAYS"},
        "mode": {"type": "enum", "options": ["fast", "safe", 3], "env": "KV_MODE"},
        "debug": {"type": "boolean", "env": "KV_DEBUG", "default": False},
        "hosts": {"type": "array", "env": "KV_HOSTS"},
        "more": {"type": "object", "env": "KV_MORE"},
        "token": {"type": "password", "env": "KV_TOKEN"},
    }
)
PLACE, WHERE = "config.yaml:3", "plugins.keyval.options"


def resolved(
    given: dict[str, Any] | None = None, env: dict[str, str] | None = None, schema: Schema = SCHEMA
) -> Options:
    said = {name: Given(value, PLACE) for name, value in (given or {}).items()}
    return resolve(schema, said, env or {}, where=WHERE)


def origin(options: Options, name: str) -> tuple[object, str]:
    (found,) = (each for each in options.options if each.kind.name == name)
    return found.value, found.origin


def test_where_values_come_from() -> None:
    """A variable wins over the file, the file over the default; each value has its origin."""
    nothing, file = resolved(), resolved({"path": "a.db"})
    both = resolved({"path": "a.db"}, {"KV_PATH": "b.db"})
    assert origin(nothing, "path") == ("kv.db", "default")
    assert origin(nothing, "days") == (None, "not set")
    assert origin(file, "path") == ("a.db", PLACE)
    assert origin(both, "path") == ("b.db", "env KV_PATH")
    assert both.problems == ()


def test_false_is_a_value() -> None:
    """A value that is set counts, even if it is false, zero or empty."""
    options = resolved({"debug": True, "hosts": []}, {"KV_DEBUG": "false"})
    assert origin(options, "debug") == (False, "env KV_DEBUG")
    assert origin(options, "hosts") == ([], PLACE)


def test_variables_by_type() -> None:
    """The text of a variable is parsed by the type of its option."""
    options = resolved(
        env={
            "KV_DAYS": "2.5",
            "KV_MODE": "3",
            "KV_DEBUG": "Yes",
            "KV_HOSTS": "a, b,",
            "KV_MORE": '{"a": [1]}',
            "KV_TOKEN": "s",
        }
    )
    assert options.problems == ()
    assert options.values() == {
        "path": "kv.db",
        "days": 2.5,
        "mode": 3,
        "debug": True,
        "hosts": ["a", "b"],
        "more": {"a": [1]},
        "token": "s",
    }
    assert origin(resolved(env={"KV_HOSTS": '["a,b"]'}), "hosts") == (["a,b"], "env KV_HOSTS")


@pytest.mark.parametrize(
    ("said", "env", "problem"),
    [
        (
            {"pth": "x"},
            {},
            f"{PLACE}: {WHERE}: unknown option 'pth'; did you mean path? (allowed are path",
        ),
        ({"path": 5}, {}, f"{PLACE}: {WHERE}.path: 5 is not text; put it in quotes"),
        ({"path": "x" * 21}, {}, "is too large; write 20 characters or less"),
        ({"days": 0}, {}, f"{PLACE}: {WHERE}.days: 0 is too small; write 1 or more"),
        ({"days": "5"}, {}, "days: '5' is not a number"),
        ({"days": True}, {}, "days: true is not a number"),
        ({"days": float("nan")}, {}, "days: nan is not a number that JSON can hold"),
        ({"days": 10**400}, {}, "days: a huge number is not a number that JSON can hold"),
        ({}, {"KV_DAYS": "soon"}, "env KV_DAYS: 'soon' is not a number"),
        ({}, {"KV_DAYS": "9" * 5000}, "is not a number"),
        ({}, {"KV_DAYS": ""}, "env KV_DAYS: '' is not a number"),
        ({"days": 5}, {"KV_DAYS": "100"}, "env KV_DAYS: 100 is too large; write 90 or less"),
        ({"mode": "fsat"}, {}, "mode: 'fsat' is not one of fast, safe, 3; did you mean fast?"),
        ({"mode": True}, {}, "mode: true is not one of fast, safe, 3"),
        ({"debug": 1}, {}, "debug: 1 is neither true nor false"),
        ({}, {"KV_DEBUG": "on"}, "env KV_DEBUG: 'on' is neither true nor false"),
        ({"hosts": "a"}, {}, "hosts: 'a' is not a list"),
        ({}, {"KV_HOSTS": "[a"}, "env KV_HOSTS: '[a' is not JSON"),
        ({"more": []}, {}, "more: a list is not a mapping"),
        ({"more": {"a": {1, 2}}}, {}, "more: something in it is not JSON"),
        ({}, {"KV_MORE": "[" * 100_000}, "is not JSON"),
        ({"path": None, "more": {"a": "x" * 300_000}}, {}, "more than 256 KiB together"),
    ],
)
def test_problems(said: dict[str, Any], env: dict[str, str], problem: str) -> None:
    """A wrong value is reported and not replaced by another one."""
    options = resolved(said, env)
    assert len(options.problems) == 1
    assert problem in options.problems[0]


def test_a_wrong_variable_hides_the_file() -> None:
    """If a variable is wrong, the file's value is not used instead."""
    assert origin(resolved({"days": 5}, {"KV_DAYS": "x"}), "days") == (None, "env KV_DAYS")


def test_required() -> None:
    """The message about a missing required option says where it can be set."""
    schema = parse_schema({"token": {"type": "password", "required": True, "env": "T"}})
    assert resolved(schema=schema).problems == (
        f"{WHERE}.token is required; set it in the config file or in the variable T",
    )
    assert not resolved({"token": "s"}, schema=schema).problems
    for empty in (resolved({"token": ""}, schema=schema), resolved(env={"T": ""}, schema=schema)):
        assert "token is required" in empty.problems[0]


def test_whose_fault_it_is() -> None:
    """Faults of the file are separate from those of variables and from missing options, and the
    file is checked even if a variable hides its value."""
    wrong = resolved({"days": "x"}, {"KV_DAYS": "5"})
    assert origin(wrong, "days") == (5, "env KV_DAYS")
    assert (len(wrong.faults), wrong.lacks) == (1, ())
    assert resolved(env={"KV_DAYS": "x"}).faults == ()
    assert resolved(env={"KV_DAYS": "x"}).lacks


def test_where_passwords_stand() -> None:
    """A file with a password in it is reported, even if a variable hides it."""
    assert resolved({"token": "s", "path": "p"}, {"KV_TOKEN": "t"}).secrets == (PLACE,)
    assert resolved({"path": "p"}, {"KV_TOKEN": "t"}).secrets == ()


def test_passwords_are_never_shown() -> None:
    """No password appears in shown options, in messages or in repr."""
    options = resolved({"token": "hunter2"})
    assert options.values()["token"] == "hunter2"
    assert "hunter2" not in repr(options)
    assert "hunter2" not in json.dumps([each.dump() for each in options.options])
    for wrong in (["hunter2"], 5):
        (problem,) = resolved({"token": wrong}).problems
        assert "hunter2" not in problem
        assert "5" not in problem
    short = parse_schema({"token": {"type": "password", "min": 10}})
    (problem,) = resolved({"token": "hunter2"}, schema=short).problems
    assert problem == f"{PLACE}: {WHERE}.token: the value is too small; write 10 characters or more"


def test_a_plugin_without_options() -> None:
    """Setting an option of a plugin without options is reported."""
    assert resolved({"x": 1}, schema={}).problems == (
        f"{PLACE}: {WHERE}: unknown option 'x' (there are none)",
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "a list is not a mapping"),
        ({"a b": {"type": "string"}}, "'a b' is not a name"),
        ({"a": {}}, "a: type is missing; write one of string, number"),
        (
            {"a": {"type": "string", "defualt": 1}},
            "a: unknown key 'defualt'; did you mean default?",
        ),
        ({"a": {"type": "enum"}}, "a: options go with type: enum"),
        ({"a": {"type": "string", "options": ["b"]}}, "a: options go with type: enum"),
        ({"a": {"type": "enum", "options": [[1]]}}, "a: options: a list is neither text nor a num"),
        ({"a": {"type": "boolean", "min": 1}}, "a: min and max are for number, string, password"),
        ({"a": {"type": "number", "min": 2, "max": 1}}, "a: min 2 is above max 1"),
        ({"a": {"type": "number", "default": "x"}}, "a: default: 'x' is not a number"),
        ({"a": {"type": "number", "max": 1, "default": 2}}, "a: default: 2 is too large"),
        (
            {"a": {"type": "password", "default": "x"}},
            "a: default: a manifest is not a place for a",
        ),
        ({"a": {"type": "string", "env": "A-B"}}, "a: env: 'A-B' is not a variable"),
        ({"a": {"type": "string", "required": "yes"}}, "a: required: 'yes' is neither true nor"),
    ],
)
def test_what_is_no_schema(schema: Any, message: str) -> None:
    """A schema is checked together with the manifest."""
    with pytest.raises(BadValue) as caught:
        parse_schema(schema)
    assert message in str(caught.value)


def test_a_schema_as_json() -> None:
    """A schema as JSON, from which forms are made, has all that it says."""
    dumped = json.loads(json.dumps(dump_schema(SCHEMA)))
    assert dumped["days"] == {
        "type": "number",
        "label": "Days",
        "min": 1,
        "max": 90,
        "env": "KV_DAYS",
    }
    assert dump_schema(parse_schema(dumped)) == dumped
    assert dumped["debug"]["default"] is False
    assert "required" not in dumped["debug"]


@given(st.sampled_from(TYPES), st.text(max_size=20))
def test_any_variable(kind: str, text: str) -> None:
    """Any variable gives a value that JSON has, or a one-line problem."""
    more = {"options": ["a"]} if kind == "enum" else {}
    options = resolved(
        env={"A": text}, schema=parse_schema({"a": {"type": kind, "env": "A", **more}})
    )
    json.dumps(options.values(), allow_nan=False)
    assert all(problem.isprintable() for problem in options.problems)
