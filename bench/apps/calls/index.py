"""Calls a service many times in a row, and answers with the time of each call, in ms."""

from time import perf_counter

from buntime import Request, Response, service

CALLS = 100
kv = service("kv")


def fetch(_: Request) -> Response:
    return Response.json([_call_ms() for _ in range(CALLS)])


def _call_ms() -> float:
    begun = perf_counter()
    if kv.get("key") != "ok":
        raise ValueError("another value than expected")
    return (perf_counter() - begun) * 1e3
