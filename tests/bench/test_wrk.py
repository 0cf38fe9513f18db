"""Reading what bench/load.lua has wrk print."""

from __future__ import annotations

import json

import pytest

from bench.errors import BenchError
from bench.wrk import ERRORS, parse_wrk

TOLD = {"requests": 30000, "duration_us": 3_000_000, "bytes": 3_000_000, "p50_us": 4800}
TOLD |= {"p99_us": 9100, **dict.fromkeys(ERRORS, 0)}
AROUND = "Running 3s test @ http://127.0.0.1:1/\n  30000 requests in 3.00s, 2.86MB read\n"


def output(**changes: int) -> str:
    return f"{AROUND}BENCH {json.dumps({**TOLD, **changes})}\n"


def test_sample() -> None:
    """Microseconds become milliseconds, and totals become rates per second."""
    expected = {"rate": 10000.0, "mb_per_s": 1.0, "p50_ms": 4.8, "p99_ms": 9.1}
    assert parse_wrk(output(), least=100) == expected


@pytest.mark.parametrize("key", ERRORS)
def test_errors(key: str) -> None:
    """A single failed request makes the figure worthless, and is named."""
    with pytest.raises(BenchError, match=f"of 30000 requests 1 {ERRORS[key]}"):
        parse_wrk(output(**{key: 1}))


def test_too_few_bytes() -> None:
    """Answers shorter than required count as no answers."""
    with pytest.raises(BenchError, match="too few"):
        parse_wrk(output(), least=101)


def test_no_answer() -> None:
    """No answer at all is an error, not a rate of 0."""
    with pytest.raises(BenchError, match="no request was answered"):
        parse_wrk(output(requests=0))


def test_no_result() -> None:
    """Output without our line is shown as it is."""
    with pytest.raises(BenchError, match="unable to connect"):
        parse_wrk("unable to connect to 127.0.0.1:1 Connection refused\n")
