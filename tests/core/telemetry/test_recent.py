"""The memory for errors and ended workers is bounded, whatever apps do."""

from __future__ import annotations

import pytest

from buntime.core.telemetry.autopsies import FAILED_MAX, Autopsies, Autopsy
from buntime.core.telemetry.errorgroups import ErrorGroups, place_of
from buntime.core.telemetry.meters import Cause
from buntime.core.telemetry.recent import Recent


def recent(**bounds: int) -> Recent[str]:
    return Recent(**{"each_max": 3, "apps_max": 2, "chars_max": 100} | bounds)


def test_of_each_app_the_newest() -> None:
    """The newest come first, and an entry replaces one with the same id."""
    kept = recent()
    for number in (1, 2, 3, 4, 2):
        kept.put("shop", number, f"{number}", 1)
    assert kept.of(["shop", "none"]) == ["2", "4", "3"]
    assert kept.get("shop", 4) == "4"
    assert kept.get("shop", 1) is None
    assert kept.get("none", 1) is None


def test_of_so_many_apps() -> None:
    """The app without an entry for the longest time is dropped."""
    kept = recent()
    for app in ("shop", "blog", "shop", "chat"):
        kept.put(app, 1, app, 1)
    assert kept.keys() == ["shop", "chat"]


def test_so_many_characters() -> None:
    """An entry that is too large leaves nothing, and the sum stays right."""
    kept = recent(chars_max=10)
    kept.put("shop", 1, "old", 6)
    kept.put("blog", 1, "new", 5)
    assert kept.keys() == ["blog"]
    kept.put("blog", 2, "huge", 11)
    assert kept.keys() == []
    assert repr(kept) == "Recent(0 apps, 0 characters)"


def test_versions_of_an_app() -> None:
    """A name matches no other app, and a scope is not taken for a version."""
    kept = recent(apps_max=9)
    for key in ("shop", "shop@1.0.0", "shop-2@1.0.0", "@acme/shop", "@acme/shop@1.0.0", "@acme"):
        kept.put(key, 1, key, 1)
    assert kept.keys_of("shop") == ["shop", "shop@1.0.0"]
    assert kept.keys_of("@acme/shop") == ["@acme/shop", "@acme/shop@1.0.0"]


STACK = 'Traceback:\n  File "/a/app.py", line 3, in buy\n    x\n  File "/a/b.py", line {}, in pay\n'


@pytest.mark.parametrize(
    ("one", "other", "kinds"),
    [
        (("KeyError: 1", STACK.format(7)), ("KeyError: 2", STACK.format(7)), 1),
        (("KeyError: 1", STACK.format(7)), ("KeyError: 1", STACK.format(8)), 2),
        (("KeyError: 1", STACK.format(7)), ("ValueError: 1", STACK.format(7)), 2),
        (("no answer in 30 s", ""), ("no answer in 31 s", ""), 1),
        (("no answer", ""), ("no data", ""), 2),
    ],
)
def test_kinds_of_errors(one: tuple[str, str], other: tuple[str, str], kinds: int) -> None:
    """Errors are grouped by exception and line; without a stack by the words, ignoring numbers."""
    groups = ErrorGroups()
    for at, (message, stack) in enumerate((one, other)):
        groups.note("shop@1", "request", message, stack, f"r{at}", 1000.0 + at)
    found = groups.of_app("shop")
    assert len(found) == kinds
    version, newest = found[0]
    assert (version, newest.message, newest.request_id) == ("1", other[0], "r1")
    assert (newest.times, newest.first_at) == ((2, 1000.0) if kinds == 1 else (1, 1001.0))


def test_hostile_errors() -> None:
    """10,000 lines of stack and as many kinds of errors stay within the limits."""
    groups = ErrorGroups()
    for number in range(2000):
        stack = STACK.format(number) * 300
        groups.note(f"app{number % 7}", "request", "x" * 10_000, stack, "", 1000.0 + number)
    assert groups._recent._chars <= 8_000_000
    assert all(len(groups.of_app(f"app{number}")) <= 20 for number in range(7))


def test_place() -> None:
    """The innermost frame is reported, or nothing if there is none or it is malformed."""
    assert place_of(STACK.format(9)) == "/a/b.py:9 in pay"
    assert place_of("") == place_of('  File "x') == ""


def autopsy(worker: str, cause: Cause) -> Autopsy:
    return Autopsy(worker, 1, 1000.0, cause, "why", 1.0, 0, 0, "s" * 100_000)


def test_planned_ends_push_no_other_out() -> None:
    """A thousand idle workers that ended do not displace the one that crashed."""
    kept = Autopsies()
    kept.note("shop", autopsy("w1", Cause.SIGNAL))
    for number in range(1000):
        kept.note("shop", autopsy(f"i{number}", Cause.IDLE))
    found = [each for _, each in kept.of_app("shop")]
    assert [each.worker for each in found if not each.is_planned] == ["w1"]
    assert all(len(each.stack) <= 64_000 for each in found)
    for number in range(1000):
        kept.note("shop", autopsy(f"c{number}", Cause.EXIT))
    assert kept.failed_since(1000.0) == {"shop": FAILED_MAX}
    assert kept.failed_since(1000.1) == {}


def test_why_a_worker_is_to_end() -> None:
    """An announced reason counts once, and only for its own cause."""
    kept = Autopsies()
    kept.will_end("w1", Cause.ENDED, "recycled")
    assert kept.take_why("w1", Cause.EXIT) == ""
    assert kept.take_why("w1", Cause.ENDED) == ""
    kept.will_end("w1", Cause.ENDED, "recycled")
    assert kept.take_why("w1", Cause.ENDED) == "recycled"
