"""A batch is retried by the rules of OTLP/HTTP."""

import pytest

from buntime.core.telemetry.exporting import GIVE_UP_S, RETRIED, Outcome, pause_s

NOON = 1772368496.0  # Sun, 01 Mar 2026 12:34:56 GMT


STATUSES = (0, 200, 202, 301, 400, 401, 404, 413, 429, 500, 501, 502, 503, 504)


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(status: int) -> None:
    """Four statuses lead to a retry, and so does no answer at all."""
    outcome = Outcome(status)
    assert outcome.is_taken == (200 <= status < 300)
    assert outcome.is_final == (status != 0 and status not in RETRIED)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999999", GIVE_UP_S),
        ("Sun, 01 Mar 2026 12:35:06 GMT", 10.0),
        ("Sun, 01 Mar 2026 12:00:00 GMT", 0.0),
        ("soon", 1.0),
        ("-5", 1.0),
        ("", 1.0),
        (None, 1.0),
    ],
)
def test_retry_after(told: str | None, expected: float) -> None:
    """The collector's Retry-After counts, if it can be read and is not endless."""
    assert pause_s(Outcome(503, retry_after=told), 1, now=NOON, luck=1.0) == expected


def test_pauses() -> None:
    """Pauses double up to a limit, and differ between senders."""
    pauses = [pause_s(Outcome(0), tries, now=NOON, luck=1.0) for tries in range(1, 9)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert pause_s(Outcome(0), 1, now=NOON, luck=0.0) == 0.5
