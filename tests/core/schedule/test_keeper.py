"""Which processes of apps start and end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.schedule.keeper import EndProcess, Keeper, ProcessKey, StartProcess

KEY, OTHER = ProcessKey("shop", "worker"), ProcessKey("shop", "beat")


def test_it_runs_once() -> None:
    """A wanted process starts once."""
    keeper = Keeper(5)
    keeper.want({KEY: "v1"})
    assert keeper.look(0.0) == [StartProcess(KEY, "v1")]
    assert keeper.look(1.0) == []
    assert keeper.seen() == [(KEY, True, 1)]


def test_back_off() -> None:
    """A process that ends is restarted after ever longer waits, which are short again once it
    has run for a minute."""
    keeper = Keeper(5)
    keeper.want({KEY: "v1"})
    now, waits = 0.0, []
    for _ in range(9):
        assert keeper.look(now) == [StartProcess(KEY, "v1")]
        wait_s = keeper.ended(KEY, now, "exit code 1")
        assert wait_s is not None
        assert keeper.look(now + wait_s - 0.1) == []
        waits.append(wait_s)
        now += wait_s
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    keeper.look(now)
    assert keeper.ended(KEY, now + 60, "exit code 1") == 1


def test_what_does_not_stay_up() -> None:
    """A process is failing from its third end in a row on, until it has run for a minute or has
    other code."""
    keeper = Keeper(5)
    keeper.want({KEY: "v1", OTHER: "v1"})
    now, told = 0.0, []
    for _ in range(4):
        keeper.look(now)
        keeper.ended(KEY, now, "exit code 2")
        told.append(keeper.failing(now))
        now += 60
    assert told == [[], [], [(KEY, 3, "exit code 2")], [(KEY, 4, "exit code 2")]]
    keeper.look(now)
    assert keeper.failing(now + 59) == told[-1]
    assert keeper.failing(now + 60) == []
    keeper.want({KEY: "v2", OTHER: "v1"})
    assert keeper.failing(now) == []


def test_other_code() -> None:
    """If its code changes, a process ends first and then starts at once, whatever failed before."""
    keeper = Keeper(5)
    keeper.want({KEY: "v1"})
    keeper.look(0.0)
    keeper.ended(KEY, 0.0, "exit code 1")
    keeper.want({KEY: "v2"})
    assert keeper.look(0.0) == [StartProcess(KEY, "v2")]
    keeper.want({KEY: "v3"})
    assert keeper.look(0.0) == [EndProcess(KEY)]
    assert keeper.look(0.0) == []
    assert keeper.ended(KEY, 5.0, "exit code 1") is None
    assert keeper.look(5.0) == [StartProcess(KEY, "v3")]


def test_not_wanted() -> None:
    """A process that is no longer wanted ends, and is forgotten."""
    keeper = Keeper(5)
    keeper.want({KEY: "v1", OTHER: "v1"})
    keeper.look(0.0)
    keeper.want({OTHER: "v1"})
    assert keeper.look(0.0) == [EndProcess(KEY)]
    assert keeper.ended(KEY, 1.0, "exit code 1") is None
    assert [each.key for each in keeper.seen()] == [OTHER]


def test_room() -> None:
    """The number of running processes is limited."""
    keeper = Keeper(1)
    keeper.want({KEY: "v1", OTHER: "v1"})
    assert keeper.look(0.0) == [StartProcess(KEY, "v1")]
    assert keeper.lacking == [OTHER]
    keeper.want({OTHER: "v1"})
    assert keeper.look(0.0) == [EndProcess(KEY)]
    keeper.ended(KEY, 1.0, "exit code 1")
    assert keeper.look(1.0) == [StartProcess(OTHER, "v1")]


def test_closed() -> None:
    """Nothing starts again after the runtime has begun to close."""
    keeper = Keeper(1)
    keeper.want({KEY: "v1"})
    keeper.look(0.0)
    keeper.close()
    keeper.ended(KEY, 100.0, "exit code 1")
    assert keeper.look(1000.0) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 90)), max_size=40))
def test_law(steps: list[tuple[int, bool, float]]) -> None:
    """No process runs twice or unwanted, and one with an old token is told to end."""
    keeper, now, token = Keeper(2), 0.0, 0
    running: dict[ProcessKey, object] = {}
    keys = [KEY, OTHER, ProcessKey("blog", "worker")]
    for which, ends, step_s in steps:
        now += step_s
        token += which == 0
        wanted = dict.fromkeys(keys[: which + 1], token)
        keeper.want(wanted)
        for decision in keeper.look(now):
            if isinstance(decision, StartProcess):
                assert decision.key not in running
                assert wanted[decision.key] == decision.token
                running[decision.key] = decision.token
            else:
                assert running[decision.key] != wanted.get(decision.key)
        assert len(running) <= 2
        if ends and running:
            keeper.ended(next(iter(running)), now, "exit code 1")
            del running[next(iter(running))]
