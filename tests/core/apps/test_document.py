"""YAML mappings with line numbers, and what is refused in them."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.apps import document
from buntime.core.apps.document import DocumentError, Entry
from buntime.core.apps.manifest import SIZE_MAX_BYTES

read_document = partial(document.read_document, size_max_bytes=SIZE_MAX_BYTES)


@pytest.mark.parametrize("data", [b"", b"\n", b"# a comment\n", b"---\n", b"\xef\xbb\xbf", b"{}"])
def test_empty(data: bytes) -> None:
    """A file that says nothing is an empty mapping."""
    assert read_document(data) == {}


def test_values_and_lines() -> None:
    """Each key comes with its value in Python's types, and with the line it stands in."""
    data = b"a: 1\nb: [x, 2.5]\n\nc:\n  d: yes\n  e:\n'f': text\n"
    assert read_document(data) == {
        "a": Entry(1, 1),
        "b": Entry(["x", 2.5], 2),
        "c": Entry({"d": True, "e": None}, 4),
        "f": Entry("text", 7),
    }


def test_verbatim() -> None:
    """Under a verbatim key every scalar stays what was written, and nothing stays nothing."""
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
        (b"a: 1\nb: 2024-99-99\n", 2, "'2024-99-99': month must be in 1..12; put it in quotes"),
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
    """What is faulty, or not what it looks like, is an error with its line."""
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
    assert 0 <= line <= lines + 1  # an end of the file is the line after the last


def test_lines_of_deeper_keys() -> None:
    """Of so many levels each key has its line; below them, and in lists, values are plain."""
    data = b"a:\n  b:\n    c: {d: 1}\n  e: [{f: 1}]\n"
    assert read_document(data, levels=2) == {
        "a": Entry({"b": Entry({"c": {"d": 1}}, 2), "e": Entry([{"f": 1}], 4)}, 1)
    }


@pytest.mark.parametrize("value", ["!s3cret x", "2024-99-99"])
def test_values_can_be_hidden(value: str) -> None:
    """Where a value may be a secret no message has a piece of it."""
    with pytest.raises(DocumentError) as caught:
        read_document(f"a: {value}".encode(), hides_values=True)
    assert "s3cret" not in str(caught.value)
    assert "2024" not in str(caught.value)
