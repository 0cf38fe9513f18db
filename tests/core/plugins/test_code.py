"""What a worker says about a plugin's code is not trusted."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.plugins.code import HOOKS, Code, read_code, what_is_missing
from buntime.wire import Message
from buntime.worker import plugin as worker
from tests.support.pluginmanifests import make_manifest


def test_hooks_are_those_of_workers() -> None:
    """Each hook that a worker may report is known here, and no other."""
    assert set(worker.HOOKS) == HOOKS


def test_what_it_says() -> None:
    """A worker reports hooks, and services with their methods."""
    said: Message = {"hooks": ["on_request"], "services": {"kv": ["get", "set"]}}
    code = Code(frozenset({"on_request"}), {"kv": frozenset({"get", "set"})})
    assert read_code(said) == code


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"hooks": None, "services": {}},
        {"hooks": "on_request", "services": {}},
        {"hooks": ["on_reqest"], "services": {}},
        {"hooks": [["on_request"]], "services": {}},
        {"hooks": [], "services": []},
        {"hooks": [], "services": {"kv": []}},
        {"hooks": [], "services": {"kv": "get"}},
        {"hooks": [], "services": {"kv": [1]}},
        {"hooks": [], "services": {"": ["get"]}},
        {"hooks": [], "services": {"x" * 1000: ["get"]}},
        {"hooks": [], "services": {str(n): ["get"] for n in range(1000)}},
        {"hooks": [], "services": {"kv": ["get"] * 2000}},
    ],
)
def test_what_no_worker_says(said: dict[str, Any]) -> None:
    """Anything else is refused with a short text."""
    with pytest.raises(ValueError, match=r"^.{1,200}$"):
        read_code(said)


def test_promises_are_kept() -> None:
    """A service of the manifest must be in the code; more services do no harm."""
    manifest = make_manifest("kv", provides=["kv"])
    assert "provides kv" in what_is_missing(Code(), manifest)
    more = {"kv": frozenset({"get"}), "more": frozenset({"get"})}
    assert what_is_missing(Code(services=more), manifest) == ""
