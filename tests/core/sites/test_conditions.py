"""Conditions are evaluated in the order of RFC 9110 13.2.2, each with its own comparison."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.sites.conditions import Validators, Verdict, judge, range_applies
from buntime.sdk.files import http_date

TIME_S = 784111777
DATE = http_date(TIME_S)
EARLIER = http_date(TIME_S - 1)
LATER = http_date(TIME_S + 1)
FILE = Validators('"abc"', TIME_S, DATE)
UNDATED = Validators('"abc"', None, "")

SEND, UNCHANGED, FAILED = Verdict.SEND, Verdict.NOT_MODIFIED, Verdict.FAILED


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, SEND),
        # If-Match: strong comparison
        ({"if-match": '"abc"'}, SEND),
        ({"if-match": '"x", "abc"'}, SEND),
        ({"if-match": "*"}, SEND),
        ({"if-match": '"x"'}, FAILED),
        ({"if-match": 'W/"abc"'}, FAILED),
        ({"if-match": ""}, FAILED),
        ({"if-match": "abc"}, FAILED),
        # If-Unmodified-Since: only without If-Match
        ({"if-unmodified-since": DATE}, SEND),
        ({"if-unmodified-since": LATER}, SEND),
        ({"if-unmodified-since": EARLIER}, FAILED),
        ({"if-unmodified-since": "never"}, SEND),
        ({"if-unmodified-since": EARLIER, "if-match": '"abc"'}, SEND),
        # If-None-Match: weak comparison
        ({"if-none-match": '"abc"'}, UNCHANGED),
        ({"if-none-match": 'W/"abc"'}, UNCHANGED),
        ({"if-none-match": '"x",W/"abc" , "y"'}, UNCHANGED),
        ({"if-none-match": " * "}, UNCHANGED),
        ({"if-none-match": '"x"'}, SEND),
        ({"if-none-match": '"x, abc"'}, SEND),
        ({"if-none-match": '"x" *'}, SEND),
        ({"if-none-match": "abc"}, SEND),
        # If-Modified-Since: only without If-None-Match
        ({"if-modified-since": DATE}, UNCHANGED),
        ({"if-modified-since": LATER}, UNCHANGED),
        ({"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, UNCHANGED),
        ({"if-modified-since": EARLIER}, SEND),
        ({"if-modified-since": "yesterday"}, SEND),
        ({"if-modified-since": f"{DATE}, {DATE}"}, SEND),
        ({"if-modified-since": DATE, "if-none-match": '"x"'}, SEND),
        ({"if-modified-since": EARLIER, "if-none-match": '"abc"'}, UNCHANGED),
        # The order: a failed precondition comes before "not modified"
        ({"if-match": '"x"', "if-none-match": '"abc"'}, FAILED),
        ({"if-match": '"abc"', "if-none-match": '"abc"'}, UNCHANGED),
        ({"if-unmodified-since": EARLIER, "if-modified-since": LATER}, FAILED),
        ({"if-unmodified-since": LATER, "if-modified-since": LATER}, UNCHANGED),
    ],
)
def test_verdicts(fields: dict[str, str], verdict: Verdict) -> None:
    """Each condition, and each pair of them, gives the verdict of the RFC."""
    assert judge(fields, FILE) is verdict


@pytest.mark.parametrize("name", ["if-modified-since", "if-unmodified-since"])
def test_without_a_date_dates_do_not_count(name: str) -> None:
    """A file without Last-Modified is sent, whatever date the request has."""
    assert judge({name: EARLIER}, UNDATED) is SEND
    assert judge({name: LATER}, UNDATED) is SEND


@pytest.mark.parametrize(
    ("known", "applies"),
    [
        ('"abc"', True),
        ('"x"', False),
        ('W/"abc"', False),
        ('"abc", "x"', False),
        (DATE, True),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        (EARLIER, False),
        (LATER, False),
        ("", False),
        ("*", False),
    ],
)
def test_if_range(known: str, applies: bool) -> None:
    """If-Range needs exactly the same tag, strong, or exactly the same date."""
    assert range_applies({"if-range": known}, FILE) is applies


def test_if_range_absent_or_undated() -> None:
    """Without If-Range a range counts; a date never matches a file that has none."""
    assert range_applies({}, FILE)
    assert not range_applies({"if-range": DATE}, UNDATED)


TAGS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'))


@given(st.lists(st.tuples(st.booleans(), TAGS)), TAGS)
def test_tag_lists(tags: list[tuple[bool, str]], own: str) -> None:
    """A tag matches a list exactly if it is a member: by weak or by strong comparison."""
    value = ", ".join(f'{"W/" * weak}"{tag}"' for weak, tag in tags)
    file = Validators(f'"{own}"', None, "")
    is_member = own in [tag for _, tag in tags]
    is_strong = own in [tag for weak, tag in tags if not weak]
    assert (judge({"if-none-match": value}, file) is UNCHANGED) == is_member
    assert (judge({"if-match": value}, file) is SEND) == is_strong


NAMES = st.sampled_from(
    ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"]
)


@given(st.dictionaries(NAMES, st.text()))
def test_garbage(fields: dict[str, str]) -> None:
    """No value raises."""
    assert judge(fields, FILE) in Verdict
    assert range_applies(fields, FILE) in (True, False)


def test_a_list_that_is_too_long() -> None:
    """A list of tags longer than any cache sends matches nothing."""
    validators = Validators('"a"', None, "")
    assert judge({"if-none-match": '"b", "a"'}, validators) is Verdict.NOT_MODIFIED
    long = '"a", ' + '"b", ' * 1000
    assert judge({"if-none-match": long}, validators) is Verdict.SEND
    assert judge({"if-match": long}, validators) is Verdict.FAILED
