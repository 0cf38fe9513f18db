"""The kinds of values: what each accepts, and what its errors say."""

import re

import pytest

from buntime.core.values.kinds import Parser, duration, one_of, size, whole_number, yes_or_no


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (whole_number(1), 1, 1),
        (whole_number(0, 9), 9, 9),
        (duration(), "1m", 60.0),
        (duration(may_be_zero=True), 0, 0.0),
        (size(1), "1kb", 1024),
        (size(1, 1024), 1024, 1024),
        (yes_or_no, False, False),
        (one_of("info", "warn"), " INFO ", "info"),
    ],
)
def test_values(parse: Parser, value: object, expected: object) -> None:
    """A value within its limits is converted."""
    assert parse(value) == expected


@pytest.mark.parametrize(
    ("parse", "value", "sentence"),
    [
        (whole_number(1), 0, "0 is not allowed; write a whole number, 1 or more"),
        (whole_number(0, 9), 10, "10 is not allowed; write a whole number, from 0 to 9"),
        (whole_number(1), "5", "'5' is not allowed; write a whole number, 1 or more"),
        (whole_number(1), True, "true is not allowed; write a whole number, 1 or more"),
        (whole_number(1), 1.0, "1.0 is not allowed; write a whole number, 1 or more"),
        (duration(), "0ms", "'0ms' is too short; write more than 0s"),
        (duration(), None, "nothing is not a duration; write seconds, or"),
        (duration(), [30], "a list is not a duration; write seconds, or"),
        (size(1), 0, "0 is too small; write 1b or more"),
        (size(1, 4096), "5kb", "'5kb' is too large; write 4kb or less"),
        (size(1), 1.5, "1.5 is not a size; write bytes, or"),
        (yes_or_no, "true", "'true' is neither true nor false"),
        (yes_or_no, 1, "1 is neither true nor false"),
        (one_of("info", "warn"), "wran", "'wran' is not one of info or warn; did you mean warn?"),
        (one_of("a", "b", "c"), None, "nothing is not one of a, b or c"),
    ],
)
def test_faults(parse: Parser, value: object, sentence: str) -> None:
    """Any other value is a ValueError that shows it and says what is allowed."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse(value)
