"""What errors show, and what they suggest."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.values.wording import counted, nearest, shown, suggestion, unknown_key

KEYS = ("timeout", "ttl", "idleTimeout", "maxRequests", "env", "workers")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("soon", "'soon'"),
        ("two\nlines", r"'two\nlines'"),
        (None, "nothing"),
        (True, "true"),
        (30, "30"),
        (1.5, "1.5"),
        ([1, [2]], "a list"),
        ({"a": 1}, "a mapping"),
        (datetime.date(2026, 1, 1), "a date"),
    ],
)
def test_shown(value: object, words: str) -> None:
    """A faulty value is shown in the syntax of the file it came from, on one line."""
    assert shown(value) == words


def test_a_huge_number() -> None:
    """A number that Python refuses to write out is not written out."""
    assert shown(10**5000) == shown(-(10**18)) == "a huge number"


@settings(deadline=None)
@given(st.text(min_size=61))
def test_long_text_is_cut(text: str) -> None:
    """A message that shows a very long text stays readable."""
    assert len(shown(text)) <= 60 * len(r"\U0001f600") + 2
    assert shown(text).isprintable()


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("timout", "timeout"),
        ("tiemout", "timeout"),
        ("idle_timeout", "idleTimeout"),
        ("max-requests", "maxRequests"),
        ("TTL", "ttl"),
        ("visibility", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_nearest(word: str, meant: str | None) -> None:
    """A typo of a few letters finds its word, anything else finds none."""
    assert nearest(word, KEYS) == meant


def test_suggestion() -> None:
    """A suggestion is the end of a sentence, or empty."""
    assert suggestion("--prot", ["--host", "--port"]) == "; did you mean --port?"
    assert suggestion("--color", ["--host", "--port"]) == ""


@settings(deadline=None)
@given(st.sampled_from(KEYS))
def test_a_known_word_is_nearest_to_itself(word: str) -> None:
    """Nothing is nearer to a known word than the word itself."""
    assert nearest(word, KEYS) == word


@pytest.mark.parametrize(
    ("count", "text"), [(0, "no entries"), (1, "1 entry"), (2, "2 entries"), (1000, "1000 entries")]
)
def test_numbers_have_their_nouns(count: int, text: str) -> None:
    """One is singular, and zero is "no"."""
    assert counted(count, "entry", "entries") == text
    assert counted(count, "x") == text.replace("entries", "xs").replace("entry", "x")


@pytest.mark.parametrize(
    ("key", "known", "told"),
    [
        (
            "timout",
            KEYS[:2],
            "unknown key 'timout'; did you mean timeout? (allowed are timeout, ttl)",
        ),
        ("timout", [*KEYS, *"abcdefghijklmnopqrst"], "unknown key 'timout'; did you mean timeout?"),
        ("colour", KEYS[:2], "unknown key 'colour' (allowed are timeout, ttl)"),
        ("colour", ["to"], "unknown key 'colour' (allowed is to)"),
        ("colour", [], "unknown key 'colour' (there are none)"),
    ],
)
def test_unknown_keys(key: str, known: list[str], told: str) -> None:
    """An unknown key is reported with what is allowed, and with what was probably meant."""
    assert unknown_key(key, known) == told
    assert unknown_key(key, known, "option") == told.replace("key", "option")
