"""Continue: what it accepts, and what it refuses when it is made."""

import datetime
from typing import Any

import pytest

from buntime.core.plugins.verdict import Question, read_verdict
from buntime.sdk.verdict import Continue

GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"headers": {"X-A": "1", "x-b": None}}, {"headers": {"x-a": "1", "x-b": None}}),
    ({"headers": {"X-A": ""}}, {"headers": {"x-a": ""}}),
    ({"path": "/ü b"}, {"path": "/ü b"}),
    ({"app": "shop"}, {"app": "shop"}),
    ({"cache_s": 0}, {"cacheS": 0}),
    ({"cache_s": 60, "vary": ("X-A",), "any_path": True},
     {"cacheS": 60, "vary": ["x-a"], "anyPath": True}),
    ({"cache_s": 0.5, "vary": ["client", "cookie:Sid"]},
     {"cacheS": 0.5, "vary": ["client", "cookie:Sid"]}),
    ({"tags": ["a", "a" * 256]}, {"tags": ["a", "a" * 256]}),
    ({"until": 5.5}, {"until": 5.5}),
    ({"until": datetime.datetime.fromtimestamp(7, datetime.UTC)}, {"until": 7.0}),
]  # fmt: skip
BAD: list[dict[str, Any]] = [
    {"headers": {"x a": "1"}},
    {"headers": {"x a": None}},
    {"headers": {5: None}},
    {"headers": {"x": 1}},
    {"headers": {"x": "a\nb"}},
    {"headers": {"Transfer-Encoding": "chunked"}},
    {"headers": {"content-length": None}},
    {"path": "a"},
    {"path": ""},
    {"path": "/a\r\nb"},
    {"path": b"/a"},
    {"app": ""},
    {"app": 5},
    {"identity": "ann"},
    {"identity": {5: 1}},
    {"identity": {"a": object()}},
    {"identity": {"a": [float("inf")]}},
    {"identity": {"a": {"b": float("nan")}}},
    {"cache_s": -1},
    {"cache_s": 60.5},
    {"cache_s": True},
    {"cache_s": "5"},
    {"cache_s": float("nan")},
    {"cache_s": 5, "vary": "cookie:sid"},
    {"cache_s": 5, "vary": ["cookie:"]},
    {"cache_s": 5, "vary": ["header:x"]},
    {"cache_s": 5, "vary": ["a b"]},
    {"cache_s": 5, "vary": [5]},
    {"vary": ["x-a"]},
    {"any_path": True},
    {"tags": "session"},
    {"tags": [""]},
    {"tags": ["a" * 257]},
    {"tags": ["a"] * 33},
    {"tags": [1]},
    {"until": -1},
    {"until": float("inf")},
    {"until": float("nan")},
    {"until": datetime.datetime(2030, 1, 1)},  # noqa: DTZ001  # without a zone, on purpose
    {"until": "tomorrow"},
]


@pytest.mark.parametrize(("said", "message"), GOOD)
def test_what_is_sent(said: dict[str, Any], message: dict[str, Any]) -> None:
    """A Continue sends exactly what it was given, under the names of the channel."""
    assert Continue(**said).message == message


@pytest.mark.parametrize(("said", "_message"), GOOD)
def test_the_runtime_takes_it(said: dict[str, Any], _message: dict[str, Any]) -> None:
    """The runtime accepts every Continue that can be made, in a stage that may send it."""
    verdict = {"type": "VERDICT", "id": 1, "action": "continue", **Continue(**said).message}
    read_verdict(verdict, Question("on_request", stage="route"))


@pytest.mark.parametrize("said", BAD)
def test_what_is_refused(said: dict[str, Any]) -> None:
    """What the runtime would refuse is an error when the Continue is made."""
    with pytest.raises((ValueError, TypeError)):
        Continue(**said)
