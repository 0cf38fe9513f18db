"""The event loop: time, calls from threads, and that no callback can end it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.server.loop.loop import READ, WRITE, Loop
from buntime.server.loop.timeouts import TimeoutQueue
from tests.support.shortage import no_threads

LONG_S = 20.0  # the longest a turn may last; a turn that waited this long has missed its event


class Recorder:
    """Collects what the loop reports."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)

    def turns_until(self, is_done: Callable[[], object]) -> None:
        deadline = monotonic() + LONG_S
        while not is_done():
            assert monotonic() < deadline, "it never came"
            self.loop.run_once(1.0)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.loop.close()


@pytest.fixture
def loop(recorder: Recorder) -> Loop:
    return recorder.loop


class Patient:
    """An entry in a TimeoutQueue."""

    def __init__(self, name: str, told: list[str], also: Callable[[], object] | None = None):
        self.name = name
        self.told = told
        self.also = also

    def on_timeout(self) -> None:
        self.told.append(self.name)
        if self.also is not None:
            self.also()


class Ear:
    """Watches one end of a socket pair."""

    def __init__(self, loop: Loop, also: Callable[[], object] | None = None) -> None:
        self.loop = loop
        self.also = also
        self.heard: list[int] = []
        self.is_open = True
        self.gives_way = False
        self.near, self.far = socket.socketpair()
        loop.register(self.near, READ, self)

    def on_ready(self, events: int) -> None:
        self.heard.append(events)
        if events & READ:
            self.near.recv(100)
        if self.also is not None:
            self.also()

    def give_way(self, gives_way: bool) -> None:
        self.loop.watch(self.near, READ, 0, self, gives_way=self.gives_way)
        self.gives_way = gives_way
        self.loop.watch(self.near, 0, READ, self, gives_way=gives_way)

    def abort(self) -> None:
        if self.is_open:
            self.is_open = False
            self.loop.watch(self.near, READ, 0, self, gives_way=self.gives_way)
            self.near.close()
            self.far.close()


@pytest.fixture
def ear(loop: Loop) -> Iterator[Ear]:
    ear = Ear(loop)
    yield ear
    ear.abort()


def boom() -> None:
    raise ZeroDivisionError("boom")


# Timers


def test_timers_fire_in_the_order_of_their_time(recorder: Recorder) -> None:
    """Timers fire by time, and in order of creation if the time is the same; never early."""
    loop, fired = recorder.loop, []
    begun = monotonic()
    for name, delay_s in [("c", 0.03), ("a", 0.0), ("d", 0.03), ("b", 0.01)]:
        loop.call_later(delay_s, lambda name=name: fired.append((name, monotonic() - begun)))
    recorder.turns_until(lambda: len(fired) == 4)
    assert [name for name, _ in fired] == ["a", "b", "c", "d"]
    assert fired[1][1] >= 0.01
    assert fired[3][1] >= 0.03


def test_timers_of_one_moment_keep_their_order(recorder: Recorder) -> None:
    """Twenty timers for the same moment fire in the order in which they were made."""
    fired: list[int] = []
    for number in range(20):
        recorder.loop.call_later(0.0, lambda number=number: fired.append(number))
    recorder.turns_until(lambda: len(fired) == 20)
    assert fired == list(range(20))


def test_a_cancelled_timer_does_not_fire(recorder: Recorder) -> None:
    """`cancel` works until the last moment, even if another timer of the same turn calls it."""
    fired: list[str] = []
    first = recorder.loop.call_later(0.0, lambda: (fired.append("first"), second.cancel()))
    second = recorder.loop.call_later(0.0, lambda: fired.append("second"))
    recorder.loop.call_later(0.01, lambda: fired.append("last"))
    recorder.turns_until(lambda: "last" in fired)
    first.cancel()  # too late, and harmless
    assert fired == ["first", "last"]


def test_a_timer_wakes_an_idle_loop(recorder: Recorder) -> None:
    """With nothing to watch, a turn lasts until the next timer and no longer."""
    fired: list[float] = []
    recorder.loop.call_later(0.02, lambda: fired.append(monotonic()))
    begun = monotonic()
    while not fired:
        recorder.loop.run_once()
        assert monotonic() - begun < LONG_S


# Timeouts


def test_timeouts_expire_in_the_order_of_their_start(loop: Loop) -> None:
    """What was started first expires first; a restart moves to the end; a stopped one is out."""
    told: list[str] = []
    queue = loop.new_timeouts(10.0)
    a, b, c = (Patient(name, told) for name in "abc")
    loop.now = 100.0
    for who in (a, b, c):
        queue.start(who)
    loop.now = 101.0
    queue.start(a)
    queue.stop(b)
    queue.stop(b)
    assert len(queue) == 2
    queue.expire(109.9)
    assert told == []
    queue.expire(110.0)
    assert told == ["c"]
    queue.expire(111.0)
    assert told == ["c", "a"]
    assert len(queue) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["start", "stop"]), st.integers(0, 4)),
            st.tuples(st.just("pass"), st.integers(0, 7)),
        ),
        max_size=40,
    )
)
def test_timeouts_expire_like_a_list_of_deadlines(steps: list[tuple[str, int]]) -> None:
    """Whatever is started, stopped and restarted, exactly what is due expires, earliest first."""
    recorder = Recorder()
    try:
        told: list[str] = []
        queue = recorder.loop.new_timeouts(5.0)
        patients = [Patient(str(number), told) for number in range(5)]
        now, order, model, expected = 0.0, 0, {}, []
        for what, number in steps:
            recorder.loop.now = now
            if what == "start":
                order += 1
                model[number] = (now + 5.0, order)
                queue.start(patients[number])
            elif what == "stop":
                model.pop(number, None)
                queue.stop(patients[number])
            else:
                now += number
                due = sorted((at, number) for number, at in model.items() if at[0] <= now)
                for _, number in due:
                    del model[number]
                    expected.append(str(number))
                queue.expire(now)
            assert told == expected
            assert len(queue) == len(model)
    finally:
        recorder.loop.close()


def test_who_expires_may_start_again(loop: Loop) -> None:
    """`on_timeout` may restart its own timeout, and stop another that is due as well."""
    told: list[str] = []
    queue = loop.new_timeouts(1.0)
    victim = Patient("victim", told)
    killer = Patient("killer", told, lambda: (queue.start(killer), queue.stop(victim)))
    loop.now = 0.0
    queue.start(killer)
    queue.start(victim)
    loop.now = 5.0
    queue.expire(5.0)
    assert told == ["killer"]
    loop.now = 6.0
    queue.expire(6.0)
    assert told == ["killer", "killer"]


def test_another_duration(loop: Loop) -> None:
    """It is that of running timeouts too, counted from their start: a short one does not wait for
    those before it."""
    told: list[str] = []
    queue = loop.new_timeouts(10.0)
    old, new, late = (Patient(name, told) for name in ("old", "new", "late"))
    loop.now = 100.0
    queue.start(old)
    loop.now = 104.0
    queue.start(new)
    for duration_s in (20.0, 2.0):
        queue.change_duration(duration_s)
        assert [at for _, at in queue.eldest(2)] == [100.0, 104.0]
        assert queue.oldest_s() == queue.started_s(old) == 100.0
    queue.start(late)
    queue.expire(105.9)
    assert told == ["old"]
    queue.expire(106.0)
    assert told == ["old", "new", "late"]


def test_what_is_due_at_once_does_not_wait_for_a_tick(loop: Loop) -> None:
    """Timeouts that have passed because they were shortened expire in the next turn."""
    told: list[str] = []
    queue = loop.new_timeouts(10.0)
    queue.start(Patient("a", told))
    loop.run_once(0)
    for who in queue.deadlines:
        queue.deadlines[who] -= 5.0
    queue.change_duration(2.0)
    loop.run_once(0)
    assert told == ["a"]


def test_queues_of_one_duration_are_one(loop: Loop) -> None:
    """`timeouts` shares one queue per duration; `new_timeouts` creates a separate one."""
    assert loop.timeouts(3.0) is loop.timeouts(3.0)
    assert loop.timeouts(3.0) is not loop.timeouts(4.0)
    own: TimeoutQueue = loop.new_timeouts(3.0)
    assert own is not loop.timeouts(3.0)
    assert own.duration_s == 3.0


def test_timeouts_expire_while_the_loop_runs(recorder: Recorder) -> None:
    """A loop with nothing else to do wakes for its timeouts, at most a tick late."""
    told: list[str] = []
    begun = recorder.loop.now  # a deadline counts from the turn's time
    recorder.loop.timeouts(0.05).start(Patient("a", told))
    recorder.turns_until(lambda: told)
    assert recorder.loop.now >= begun + 0.05


# Calls


def test_a_call_from_a_thread_wakes_the_loop(recorder: Recorder) -> None:
    """A loop that waits for nothing else is woken by another thread's call, and runs it."""
    called_on: list[int] = []
    thread = threading.Thread(
        target=lambda: recorder.loop.call_threadsafe(
            lambda: called_on.append(threading.get_ident())
        )
    )
    begun = monotonic()
    thread.start()
    while not called_on:
        recorder.loop.run_once()
        assert monotonic() - begun < LONG_S
    thread.join()
    assert called_on == [threading.get_ident()]


def test_calls_of_many_threads_all_arrive(recorder: Recorder) -> None:
    """A thousand calls from each of four threads are run, each thread's in order, although the pipe
    that wakes the loop is full long before."""
    got: list[tuple[int, int]] = []

    def call_often(number: int) -> None:
        for count in range(1000):
            recorder.loop.call_threadsafe(lambda count=count: got.append((number, count)))

    threads = [threading.Thread(target=call_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.turns_until(lambda: len(got) == 4000)
    for number in range(4):
        assert [count for who, count in got if who == number] == list(range(1000))


def test_calls_run_in_order_one_turn_later(loop: Loop) -> None:
    """`call_soon` runs in the next turn, which does not wait; its own calls run in the turn after
    that, so that others come in between."""
    called: list[str] = []
    loop.call_soon(lambda: (called.append("a"), loop.call_soon(lambda: called.append("c"))))
    loop.call_soon(lambda: called.append("b"))
    begun = monotonic()
    loop.run_once()
    assert called == ["a", "b"]
    loop.run_once()
    assert called == ["a", "b", "c"]
    assert monotonic() - begun < LONG_S


def test_many_who_go_on_share_a_turn(loop: Loop) -> None:
    """However many have more to do, a turn has 2 ms for them; each gets as many turns as the
    others, and one that takes longer gets a turn of its own."""
    times: list[int] = []
    turns: list[int] = []

    def go_on(who: int) -> None:
        times.append(who)
        until = monotonic() + 0.0015
        while monotonic() < until:
            pass
        loop.go_on_later(partial(go_on, who))

    for who in range(8):
        loop.go_on_later(partial(go_on, who))
    while len(times) < 24:
        before = len(times)
        loop.run_once(0.0)
        turns.append(len(times) - before)
    assert set(turns) <= {1, 2}
    assert times[:24] == [*range(8)] * 3


def busy(seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        pass


def test_those_that_give_way_come_last_and_share_a_turn(loop: Loop) -> None:
    """However many give way, a turn has 2 ms for them after all others, and all have their turn."""
    heard: list[str] = []

    def hear(who: str) -> None:
        heard.append(who)
        busy(0.0004)
        ears[who].far.send(b"x")  # there is always more

    ears = {who: Ear(loop, partial(hear, who)) for who in ("other", *map(str, range(20)))}
    for who, ear in ears.items():
        ear.give_way(who != "other")
        ear.far.send(b"x")
    for _ in range(60):
        before = len(heard)
        loop.run_once(0.0)
        turn = heard[before:]
        assert turn.index("other") == 0
        assert turn.count("other") == 1
        assert len(turn) in (5, 9)  # one or two rounds of four, each of which takes 1.6 ms
    times = [heard.count(str(number)) for number in range(20)]
    assert max(times) - min(times) <= 1
    for ear in ears.values():
        ear.abort()


def test_who_gives_way_is_heard_without_anybody_else(recorder: Recorder) -> None:
    """Its event ends the loop's wait, and so does what a turn had no time for."""
    crowd = [Ear(recorder.loop, partial(busy, 0.001)) for _ in range(12)]
    for ear in crowd:
        ear.give_way(True)
        ear.far.send(b"x")
    begun = monotonic()
    recorder.turns_until(lambda: all(ear.heard for ear in crowd))
    assert monotonic() - begun < 1.0  # a turn waits for so long if it finds nothing
    for ear in crowd:
        ear.give_way(False)
        ear.abort()
    assert recorder.errors == []


class Sender:
    """Asks for a flush, and once more from within it."""

    def __init__(self, loop: Loop, log: list[str]) -> None:
        self.loop = loop
        self.log = log

    def flush(self) -> None:
        self.log.append("flush")
        if self.log.count("flush") == 1:
            self.loop.flush_later(self)


def test_flushes_end_the_turn(loop: Loop, ear: Ear) -> None:
    """What was collected in a turn is flushed at its end, after events, timers and calls."""
    log: list[str] = []
    sender = Sender(loop, log)
    ear.also = lambda: (log.append("event"), loop.flush_later(sender))
    loop.call_soon(lambda: log.append("call"))
    loop.call_later(0.0, lambda: log.append("timer"))
    ear.far.send(b"x")
    loop.run_once()
    assert log == ["event", "timer", "call", "flush", "flush"]


def test_flushes_do_not_wait_for_a_long_turn(loop: Loop) -> None:
    """Of many events in one turn, the first ones' output is sent before the last is handled."""
    log: list[str] = []
    sender = Sender(loop, log)
    ears = [Ear(loop, lambda: (log.append("event"), loop.flush_later(sender))) for _ in range(20)]
    for ear in ears:
        ear.far.send(b"x")
    loop.run_once()
    assert log.count("event") == 20
    assert log.index("flush") <= 4
    assert log[-1] == "flush"
    for ear in ears:
        ear.abort()


@pytest.mark.parametrize("count", [1, 2])
def test_a_turn_with_one_event_is_quiet(loop: Loop, count: int) -> None:
    """In such a turn nothing else is likely to be sent."""
    told: list[bool] = []
    ears = [Ear(loop, lambda: told.append(loop.is_quiet)) for _ in range(count)]
    for ear in ears:
        ear.far.send(b"x")
    loop.run_once()
    assert told == [count == 1] * count
    for ear in ears:
        ear.abort()


def test_calls_wait_for_what_is_sent(loop: Loop, ear: Ear) -> None:
    """A call that an event asks for comes after the flushes of that turn."""
    log: list[str] = []
    sender = Sender(loop, log)

    def answer() -> None:
        loop.call_soon(lambda: log.append("call"))
        loop.flush_later(sender)

    ear.also = answer
    ear.far.send(b"x")
    loop.run_once()
    assert log == ["flush", "flush"]
    loop.run_once(0)
    assert log[2:3] == ["call"]


# Blocking work


def test_blocking_work_runs_beside_the_loop(recorder: Recorder) -> None:
    """The work runs in another thread, and its result comes back on the loop's thread."""
    got: list[tuple[object, int]] = []
    recorder.loop.run_blocking(
        threading.get_ident, lambda result: got.append((result, threading.get_ident()))
    )
    recorder.turns_until(lambda: got)
    ((worked_on, came_on),) = got
    assert came_on == threading.get_ident()
    assert worked_on != came_on


def test_blocking_work_does_not_stop_the_loop(recorder: Recorder, ear: Ear) -> None:
    """While work blocks, events are handled: here the work waits for one of them."""
    event = threading.Event()
    got: list[object] = []
    ear.also = event.set
    recorder.loop.run_blocking(lambda: event.wait(LONG_S), got.append)
    ear.far.send(b"x")
    recorder.turns_until(lambda: got)
    assert got == [True]


def test_an_exception_of_blocking_work_is_handed_over(recorder: Recorder) -> None:
    """`then` gets what the work raises; it is no error of the loop."""
    got: list[object] = []
    recorder.loop.run_blocking(boom, got.append)
    recorder.turns_until(lambda: got)
    assert isinstance(got[0], ZeroDivisionError)
    assert recorder.errors == []


def test_blocking_work_without_a_thread(recorder: Recorder) -> None:
    """`then` gets the error in a later turn, as if the work had raised it, and who asks has no
    error of its own to handle."""
    got: list[object] = []
    with no_threads():
        recorder.loop.run_blocking(lambda: 1, got.append)
    assert got == []
    recorder.turns_until(lambda: got)
    assert isinstance(got[0], BlockingIOError)
    recorder.loop.run_blocking(lambda: 2, got.append)
    recorder.turns_until(lambda: len(got) == 2)
    assert got[1] == 2


# Events


def test_events_are_told_by_kind(loop: Loop, ear: Ear) -> None:
    """A watcher gets the events that it asked for, and `modify` changes these."""
    ear.far.send(b"x")
    loop.run_once(1.0)
    assert ear.heard == [READ]
    loop.modify(ear.near, WRITE, ear)
    loop.run_once(1.0)
    assert ear.heard == [READ, WRITE]
    loop.modify(ear.near, READ | WRITE, ear)
    ear.far.send(b"x")
    loop.run_once(1.0)
    assert ear.heard == [READ, WRITE, READ | WRITE]


@pytest.mark.parametrize("gives_way", [False, True])
def test_what_is_watched_for_changes(loop: Loop, ear: Ear, gives_way: bool) -> None:
    """A watcher can switch from some events to none, and to others again."""
    loop.watch(ear.near, READ, 0, ear, gives_way=False)
    ear.gives_way = gives_way
    ear.far.send(b"x")
    loop.run_once(0.0)
    assert ear.heard == []
    loop.watch(ear.near, 0, WRITE, ear, gives_way=gives_way)
    loop.run_once(1.0)
    assert ear.heard == [WRITE]
    loop.watch(ear.near, WRITE, READ, ear, gives_way=gives_way)
    loop.run_once(1.0)
    assert ear.heard == [WRITE, READ]


def test_a_turn_has_one_time(loop: Loop) -> None:
    """`now` stays the same within a turn, and changes with the next."""
    seen: list[float] = []
    loop.call_soon(lambda: seen.append(loop.now))
    loop.call_soon(lambda: seen.append(loop.now))
    loop.run_once()
    assert seen[0] == seen[1] <= monotonic()
    before = loop.now
    loop.run_once(0.001)
    assert loop.now > before


def test_stop_ends_it(recorder: Recorder) -> None:
    """`run` returns after the turn in which `stop` was called, even if another thread called it."""
    called: list[str] = []
    recorder.loop.call_soon(lambda: (called.append("a"), recorder.loop.stop()))
    recorder.loop.call_soon(lambda: called.append("b"))
    recorder.loop.run()
    assert called == ["a", "b"]
    thread = threading.Timer(0.01, recorder.loop.stop)
    thread.start()
    recorder.loop.run()
    thread.join()


def test_a_signal_wakes_the_loop(recorder: Recorder) -> None:
    """A signal ends the wait through `wakeup_fd`; its handler only enqueues."""
    loop, called = recorder.loop, []
    before = signal.signal(
        signal.SIGUSR1, lambda number, frame: loop.call_threadsafe(lambda: called.append(number))
    )
    old_fd = signal.set_wakeup_fd(loop.wakeup_fd, warn_on_full_buffer=False)
    try:
        thread = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
        begun = monotonic()
        thread.start()
        while not called:
            loop.run_once()
            assert monotonic() - begun < LONG_S
        thread.join()
    finally:
        signal.set_wakeup_fd(old_fd)
        signal.signal(signal.SIGUSR1, before)
    assert called == [signal.SIGUSR1]


# Errors


def test_a_watcher_that_raises_is_let_go_alone(recorder: Recorder, ear: Ear) -> None:
    """An error in `on_ready` is reported and ends that watcher; the others continue."""
    broken = Ear(recorder.loop, boom)
    broken.far.send(b"x")
    ear.far.send(b"x")
    recorder.turns_until(lambda: ear.heard)
    recorder.turns_until(lambda: recorder.errors)
    assert [type(error) for error in recorder.errors] == [ZeroDivisionError]
    assert not broken.is_open
    ear.far.send(b"x")
    recorder.turns_until(lambda: len(ear.heard) == 2)


def test_an_abort_that_raises_is_reported_too(recorder: Recorder) -> None:
    """A watcher that cannot even be aborted is reported twice, and the loop continues."""

    class Stubborn(Ear):
        def abort(self) -> None:
            super().abort()
            boom()

    stubborn = Stubborn(recorder.loop, boom)
    stubborn.far.send(b"x")
    recorder.loop.run_once(1.0)
    assert [type(error) for error in recorder.errors] == [ZeroDivisionError] * 2


def test_no_callback_ends_the_loop(recorder: Recorder) -> None:
    """Errors in timers, timeouts, calls, flushes and `then` are reported one by one, and whatever
    follows each is still run."""
    loop, told = recorder.loop, []

    class Broken:
        def flush(self) -> None:
            boom()

    class Whole:
        def flush(self) -> None:
            told.append("flush")

    queue = loop.timeouts(0.01)
    queue.start(Patient("broken", told, boom))
    queue.start(Patient("timeout", told))
    loop.call_later(0.0, boom)
    loop.call_later(0.0, lambda: told.append("timer"))
    loop.call_soon(boom)
    loop.call_soon(lambda: told.append("call"))
    loop.flush_later(Broken())
    loop.flush_later(Whole())
    loop.run_blocking(lambda: 1, lambda result: boom())
    recorder.turns_until(lambda: len(recorder.errors) == 5)
    recorder.turns_until(lambda: len(told) == 5)
    assert sorted(told) == ["broken", "call", "flush", "timeout", "timer"]
    assert {type(error) for error in recorder.errors} == {ZeroDivisionError}


def test_what_is_meant_to_end_the_process_does(loop: Loop) -> None:
    """SystemExit and KeyboardInterrupt are not errors of a callback: they are passed on."""

    def leave() -> None:
        raise SystemExit(3)

    loop.call_soon(leave)
    with pytest.raises(SystemExit):
        loop.run_once()


def test_guard_says_nothing_of_what_went_well(recorder: Recorder) -> None:
    """`guard` reports what a callback raises, and nothing else."""
    recorder.loop.guard(lambda: None)
    assert recorder.errors == []
    recorder.loop.guard(boom)
    assert len(recorder.errors) == 1
