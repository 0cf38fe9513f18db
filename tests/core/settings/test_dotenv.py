"""The `.env` file: a small language without surprises."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.errors import UsageError
from buntime.core.settings.dotenv import parse_dotenv


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("A=", ""),
        ("A = two words ", "two words"),
        ("  export A=1", "1"),
        ("export\tA=1", "1"),
        ("A=1 # comment", "1"),
        ("A=1\t#comment", "1"),
        ("A=#comment", ""),
        ("A= # comment", ""),
        ("A=a#b", "a#b"),
        ('A={"a": 1}', '{"a": 1}'),
        ("A=$HOME", "$HOME"),
        ("A=a=b", "a=b"),
        ("A='a # b'  # c", "a # b"),
        (r"A='\n'", r"\n"),
        ("A=''", ""),
        ('A="a # b"', "a # b"),
        (r'A="a\n\"b\"\\\$\t\r"', 'a\n"b"\\$\t\r'),
        ('A=""# c', ""),
        ("A=don't", "don't"),
        ("A=é", "é"),
    ],
)
def test_values(line: str, value: str) -> None:
    """A value is bare, in single quotes, or in double quotes with escapes."""
    assert parse_dotenv(line.encode(), path=".env") == {"A": value}


def test_lines() -> None:
    """Empty lines and comments are skipped, and lines may end in CRLF."""
    data = b"\xef\xbb\xbfA=1\r\n\r\n  # comment\r\n#B=2\nC=3"
    assert parse_dotenv(data, path=".env") == {"A": "1", "C": "3"}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# nothing\n"])
def test_empty(data: bytes) -> None:
    """A file without assignments is fine."""
    assert parse_dotenv(data, path=".env") == {}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"A", "not NAME=VALUE"),
        (b"export A", "not NAME=VALUE"),
        (b"=1", "not NAME=VALUE"),
        (b"1A=s3cret", "not NAME=VALUE"),
        (b"A-B=s3cret", "not NAME=VALUE"),
        (b"A B=s3cret", "not NAME=VALUE"),
        (b"A=s3cret\0", "not NAME=VALUE"),
        (b"A='s3cret", "A: the quote is not closed on this line"),
        (b'A="s3cret\\"', "A: the quote is not closed on this line"),
        (b"A='s3cret'b", "A: text after the closing quote"),
        (b'A="s3cret"b', "A: text after the closing quote"),
        (b'A="s3cret\\q"', r"A: unknown escape \q"),
        (b"A=s3cret\xff", "not UTF-8"),
        (b"FIRST=s3cret", "FIRST is given twice"),
    ],
)
def test_faulty_lines(line: bytes, problem: str) -> None:
    """A faulty line is an error that names the file and the line, and shows no value."""
    with pytest.raises(UsageError) as caught:
        parse_dotenv(b"FIRST=1\n" + line + b"\nLAST=1\n", path="conf/.env")
    assert str(caught.value).startswith(f"conf/.env:2: {problem}")
    assert "s3cret" not in str(caught.value)


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_quoting_round_trip(value: str) -> None:
    """Any value can be written in double quotes."""
    escaped = value
    for letter, char in (("\\", "\\"), ('"', '"'), ("n", "\n"), ("r", "\r")):
        escaped = escaped.replace(char, f"\\{letter}")
    assert parse_dotenv(f'A="{escaped}"'.encode(), path=".env") == {"A": value}


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_garbage(data: bytes) -> None:
    """Any bytes give a mapping of text to text, or a UsageError."""
    try:
        values = parse_dotenv(data, path=".env")
    except UsageError:
        return
    assert all("\0" not in name + value for name, value in values.items())
