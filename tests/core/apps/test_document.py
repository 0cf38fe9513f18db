"""YAML mappings with line numbers, and what is refused in them."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from buntime.core.apps import document
from buntime.core.apps.document import DocumentError, Entry
from buntime.core.apps.jsondocument import NotPlain, read_json
from buntime.core.apps.manifest import SIZE_MAX_BYTES
from buntime.core.apps.yamldocument import read_yaml

read_document = partial(document.read_document, size_max_bytes=SIZE_MAX_BYTES)


@pytest.mark.parametrize("data", [b"", b"\n", b"# a comment\n", b"---\n", b"\xef\xbb\xbf", b"{}"])
def test_empty(data: bytes) -> None:
    """An empty file is an empty mapping."""
    assert read_document(data) == {}


def test_values_and_lines() -> None:
    """Each key comes with its value in Python's types, and with its line."""
    data = b"a: 1\nb: [x, 2.5]\n\nc:\n  d: yes\n  e:\n'f': text\n"
    assert read_document(data) == {
        "a": Entry(1, 1),
        "b": Entry(["x", 2.5], 2),
        "c": Entry({"d": True, "e": None}, 4),
        "f": Entry("text", 7),
    }


def test_verbatim() -> None:
    """Under a verbatim key each scalar stays as written, and an empty one stays empty."""
    data = b"env: {A: 1.10, B: yes, C: 0x10, D: 2026-01-01, E: '', F: }\nother: 1.10\n"
    assert read_document(data, verbatim=("env",)) == {
        "env": Entry(
            {"A": "1.10", "B": "yes", "C": "0x10", "D": "2026-01-01", "E": "", "F": None}, 1
        ),
        "other": Entry(1.1, 2),
    }


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        (b"- a\n", 1, 'expected lines like "timeout: 30s"'),
        (b"timeout\n", 1, 'expected lines like "timeout: 30s"'),
        (b"a: b: c\n", 1, "not valid YAML: mapping values are not allowed"),
        (b"a: [1\n", 2, "not valid YAML: "),
        (b"\ta: 1\n", 1, "not valid YAML: "),
        (b"a: 1\n---\nb: 2\n", 2, "not valid YAML: but found another document"),
        (b"a: 1\nb: 2\na: 3\n", 3, "a is given twice, first on line 1"),
        (b"a:\n  b: 1\n  b: 1\n", 3, "b is given twice, first on line 2"),
        (b"a: [{b: 1, b: 1}]\n", 1, "b is given twice, first on line 1"),
        (b"a: 1\n2: b\n", 2, "the key 2 is not text; put it in quotes"),
        (b"on: 1\n", 1, "the key on is not text; put it in quotes"),
        (b"[a]: 1\n", 1, "a key is not text; put it in quotes"),
        (b"a: &x 1\nb: *x\n", 1, "anchors and aliases are not supported"),
        (b"a: &x [*x]\n", 1, "anchors and aliases are not supported"),
        (b"a:\n  <<: {b: 1}\n", 2, "the key << is not text"),
        (b"a: !!python/object:os.system x\n", 1, "tags such as 'tag:yaml.org,2002:python/object"),
        (b"a: !mine x\n", 1, "tags such as '!mine' are not supported"),
        (b"a:\n- !!bool x\n", 2, "tags such as 'tag:yaml.org,2002:bool' are not supported"),
        (b"a: ! {}\n", 1, "tags such as '!' are not supported"),
        (b"a: 1\nb: 2024-99-99\n", 2, "'2024-99-99': month must be in 1..12"),
        (b"a: " + b"9" * 5000, 1, "'999"),
        (b"a: 1\nb: \xff\n", 2, "not UTF-8"),
        (b"a: 1\nb: \x00\n", 2, "the character U+0000 is not allowed in YAML"),
        (b"a: \xc3\xa9\nb: \x1b\n", 2, "the character U+001B is not allowed in YAML"),
        (b"a: 1\nb: [[[[[[[[[1]]]]]]]]]\n", 2, "nested too deeply"),
        (b"[" * 60_000, 1, "nested too deeply"),
        (b"# " + b"x" * SIZE_MAX_BYTES, 0, "the file is larger than 64 KiB"),
    ],
)
def test_faults(data: bytes, line: int, problem: str) -> None:
    """What is faulty, or is not what it looks like, is an error with its line."""
    with pytest.raises(DocumentError) as caught:
        read_document(data)
    assert str(caught.value).startswith(problem)
    assert caught.value.line == line
    assert len(str(caught.value)) < 250


YAML = st.text("abc:-[]{}&*!|>'\"%@`?#, \n\t019.~<=\\é\0", max_size=40)


@settings(deadline=None)
@given(YAML | st.binary(max_size=40))
def test_garbage(data: str | bytes) -> None:
    """Any bytes are a mapping or a DocumentError, and nothing else."""
    data = data.encode() if isinstance(data, str) else data
    try:
        entries = read_document(data, verbatim=("a",))
    except DocumentError as exc:
        lines = data.count(b"\n") + 1
        line = exc.line
    else:
        lines = data.count(b"\n") + 1
        line = max((entry.line for entry in entries.values()), default=0)
    assert 0 <= line <= lines + 1  # the end of the file counts as the line after the last


def test_lines_of_deeper_keys() -> None:
    """Keys down to `levels` have lines; below them, and in lists, values are plain."""
    data = b"a:\n  b:\n    c: {d: 1}\n  e: [{f: 1}]\n"
    assert read_document(data, levels=2) == {
        "a": Entry({"b": Entry({"c": {"d": 1}}, 2), "e": Entry([{"f": 1}], 4)}, 1)
    }


@pytest.mark.parametrize("value", ["!s3cret x", "2024-99-99"])
def test_values_can_be_hidden(value: str) -> None:
    """If a value may be a secret, no message contains any part of it."""
    with pytest.raises(DocumentError) as caught:
        read_document(f"a: {value}".encode(), hides_values=True)
    assert "s3cret" not in str(caught.value)
    assert "2024" not in str(caught.value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.text(max_size=5), PLAIN, max_size=4),
    st.integers(1, 3),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
@example({"a": "yes", "b": 1.5, "c": {"d": [None, True, -3]}, "e": {}}, 2, 1, False)
@example({"a": 0.1, "b": "1.10"}, 1, None, True)
def test_json_is_read_as_yaml_reads_it(
    value: dict[str, object], levels: int, indent: int | None, ascii_alone: bool
) -> None:
    """The JSON reader and the YAML reader give the same values, lines, types and faults."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_alone)
    asked: Any = {"verbatim": ("b",), "levels": levels, "hides_values": False}

    def told(read: Callable[[], object]) -> str:
        try:
            return repr(read())
        except DocumentError as exc:
            return f"{exc}, line {exc.line}"

    mine = told(lambda: read_document(text.encode("utf-8", "replace"), **asked))
    plain = text.encode("utf-8", "replace").decode()
    assert mine == told(lambda: read_yaml(plain, lists=(), **asked))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": {"b": 1, "b": 2}}',
        '{"a": 1,}',
        '{"a": [1 2]}',
        '{"a" "b"}',
        '{"a": 1}}',
        '{"a": "x',
        '{"a": 01}',
        '{"a": 1e3}',
        '{"a": .5}',
        '{"a": -}',
        '{"a": 1x}',
        '{"a": NaN}',
        '{"a": yes}',
        "{a: 1}",
        '{"a": "\\n"}',
        '{"a":\t1}',
        '{"a": 1} # more',
        '{"a": [1e3]}',
        '{"a": [1.5E3]}',
        '{"a": [123456789012345678]}',
        '{"a": [{"' + "b" * 501 + '": 1}]}',
        '{"a": ' + "[" * 8 + "]" * 8 + "}",
        '{"a": ' + '{"b": ' * 8 + "1" + "}" * 9,
        '{"a": ' + "[" * 30_000,
        '{"a"\n: 1}',
        '{"a" : 1}',
        '{"a": [{"b"\n  : 1}]}',
        '{"a": {"b"' + " " * 1100 + ": 1}}",
    ],
)
def test_what_is_not_plain_is_left_to_yaml(text: str) -> None:
    """What is not plain JSON is left to YAML, which reads it or says what is wrong."""
    with pytest.raises(NotPlain):
        read_json(text, 1)


def test_plain_json_needs_no_yaml() -> None:
    """Plain JSON needs no YAML, also with several lines and text in any language."""
    text = '{"a": {"b": [1, 2.5, "ä: #"],\n "c": null},\n\n "d": [[[[[[[]]]]]]]}\n'
    assert read_json(text, 2) == {
        "a": Entry({"b": Entry([1, 2.5, "ä: #"], 1), "c": Entry(None, 2)}, 1),
        "d": Entry([[[[[[[]]]]]]], 4),
    }
