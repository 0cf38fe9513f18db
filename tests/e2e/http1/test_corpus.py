"""Every case of the corpus against a running runtime, in one piece and in small ones.

tests/core/http1/test_reader.py has them byte by byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.corpus.cases import Case, load_cases
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.rawclient import RawClient, client_of

VALID = load_cases("valid")
INVALID = load_cases("invalid")
SLOW_MAX_BYTES = 400  # longer cases differ only in length
PIECE = 7  # bytes of a segment: fewer than a line has

# The corpus asks for "/", where no app is: its targets are moved below the app "e".
ORIGIN = re.compile(
    rb"(?<![A-Z])([A-Z]{1,32} )(?:([Hh][Tt][Tt][Pp]://[^/?@ ]+)/?|/)(?=[^ ]* HTTP/[0-9])"
)
BASE = "/e"

ECHO = """
from buntime import Response

OWN = ("x-forwarded-proto", "x-forwarded-for", "x-forwarded-host", "x-base", "x-request-id")

def fetch(request):
    return Response.json({
        "method": request.method,
        "target": request.target,
        "base": request.base,
        "headers": [pair for pair in request.headers.items() if pair[0] not in OWN],
        "body": request.bytes().decode("latin-1"),
    })
"""


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "e", {"app.py": ECHO}, ttl=60)
    with running(folder) as runtime:
        yield runtime


def moved(case: Case) -> bytes:
    """The case's bytes with targets below BASE; a line of the greatest length keeps its length."""
    data = ORIGIN.sub(rb"\1\2" + BASE.encode() + b"/", case.data)
    return data.replace(b"a" * 8178, b"a" * (8178 - len(BASE))) if "8192" in case.name else data


def both_ways(cases: list[Case]) -> pytest.MarkDecorator:
    """Each case in one piece, and the short ones in small pieces."""
    ways = [pytest.param(case, False, id=f"{case}-whole") for case in cases]
    short = [case for case in cases if len(case.data) <= SLOW_MAX_BYTES]
    ways += [pytest.param(case, True, id=f"{case}-pieces") for case in short]
    return pytest.mark.parametrize(("case", "slowly"), ways)


def transmit(client: RawClient, data: bytes, *, slowly: bool) -> None:
    if slowly:
        for at in range(0, len(data), PIECE):
            client.sock.send(data[at : at + PIECE])
    else:
        client.send(data)


def check_served(client: RawClient, text: str) -> None:
    """Reads one answer, and compares what the app saw to what the corpus says."""
    expected: dict[str, Any] = json.loads(text)
    if expected.get("target") == "*":
        assert client.read().status == 204
        return
    reply = client.read()
    assert reply.status == 200
    seen = reply.json
    assert seen["base"] == BASE
    for key in expected.keys() & {"method", "headers", "body"}:
        assert seen[key] == expected[key]
    if "target" in expected:
        assert seen["target"] == BASE + expected["target"]
    if not expected.get("keep_alive", True):
        assert reply.get("connection") == "close"
        client.expect_end()


@both_ways(VALID)
def test_a_valid_request_reaches_the_app(runtime: Runtime, case: Case, slowly: bool) -> None:
    """A valid request is answered by the app, which saw what was sent, however it was split."""
    data = moved(case)
    with client_of(runtime) as client:
        transmit(client, data, slowly=slowly)
        for text in case.expected:
            check_served(client, text)


@both_ways(INVALID)
def test_an_invalid_request_is_refused(runtime: Runtime, case: Case, slowly: bool) -> None:
    """An invalid one gets its status as a JSON error, then a clean close: a reset could destroy the
    answer while bytes are still on their way."""
    data = moved(case)
    with client_of(runtime) as client:
        transmit(client, data, slowly=slowly)
        reply = client.read()
        if case.name == "second_request_broken":
            assert reply.status == 200
            reply = client.read()
        assert reply.status == int(case.expected[0])
        assert reply.get("content-type") == "application/json"
        assert reply.get("connection") == "close"
        assert reply.code
        client.expect_end()


def test_no_case_harmed_the_worker(runtime: Runtime) -> None:
    """After the whole corpus its one worker is still there, with nothing in hand: no refused
    request was left with it."""

    def workers() -> list[tuple[int, str]]:
        with client_of(runtime) as client:
            every = client.get("/api/workers").json["workers"]
        return [(each["inHand"], each["status"]) for each in every if each["app"] == "e"]

    with client_of(runtime) as client:
        assert client.get(BASE).status == 200
    wait_until(lambda: workers() == [(0, "idle")], what="the one worker to be idle")
    assert not [record for record in runtime.records if record["event"] == "runtime.internal_error"]
