"""How `buntime plugins` waits for a start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from buntime.commands.pluginasking import wait_for

SERVES = {"state": "serving", "why": None, "isStarting": False}


class FakeApi:
    """Gives these answers in turn, the last one for good."""

    def __init__(self, answers: Sequence[dict[str, Any]]) -> None:
        self.answers = [*answers]
        self.now_s = 0.0

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/plugins/audit"
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def wait(self, *, is_reload: bool) -> tuple[dict[str, Any], bool]:
        api: Any = self
        return wait_for(
            api, "audit", is_reload=is_reload, clock=lambda: self.now_s, sleep=self.sleep
        )


@pytest.mark.parametrize(
    "before",
    [
        {**SERVES, "isStarting": True},  # beside what serves
        {**SERVES, "isStarting": True, "why": "unknown key 'nonsense'"},  # of what was before
        {"state": "away", "why": "died", "isStarting": True},
        {"state": "starting", "why": None, "isStarting": False},  # its process ends for another
        {"state": "waiting", "why": None, "isStarting": False},  # for what it needs
    ],
)
def test_a_start_is_waited_for(before: dict[str, Any]) -> None:
    """While a start is under way, neither the state nor the reason is a result."""
    for is_reload in (False, True):
        assert FakeApi([before, before, SERVES]).wait(is_reload=is_reload) == (SERVES, True)


def test_what_a_reload_comes_to() -> None:
    """A reason says that what serves is not what was to be loaded; an enabled plugin may have one
    and be up."""
    refused = {**SERVES, "why": "unknown key 'nonsense'"}
    assert FakeApi([refused]).wait(is_reload=True) == (refused, False)
    assert FakeApi([refused]).wait(is_reload=False) == (refused, True)


@pytest.mark.parametrize(
    ("state", "is_up"), [("asleep", True), ("left out", False), ("failed", False)]
)
def test_what_is_not_under_way(state: str, is_up: bool) -> None:
    """What sleeps is up and what cannot start is not: nothing more is waited for."""
    api = FakeApi([{"state": state, "why": None, "isStarting": False}])
    assert api.wait(is_reload=True)[1] == is_up
    assert api.now_s == 0.0


def test_an_older_runtime() -> None:
    """It does not say whether a start is under way beside what serves."""
    told = {"state": "serving", "why": None}
    assert FakeApi([told]).wait(is_reload=True) == (told, True)


def test_a_start_without_an_end() -> None:
    """After half a minute the command says what the state is by then."""
    api = FakeApi([{**SERVES, "state": "starting", "isStarting": True}])
    assert api.wait(is_reload=True)[1] is False
    assert 30 < api.now_s < 31
