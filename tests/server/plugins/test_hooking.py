"""The path of a request through hooks, and of its answer back, with fake workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import Any

import pytest

from buntime.core.errors import ServerFault
from buntime.core.http1.forwarded import Sender
from buntime.core.plugins.plan import Plan
from buntime.server.http1.exchange import Exchange
from buntime.server.plugins.parts import Found
from tests.support.callcount import count_calls
from tests.support.exchanges import FakeClient, FakeResponder
from tests.support.hookways import FACTS, GET, Ways, hooks


def request(ways: Ways, name: str = "a") -> dict[str, Any]:
    found: dict[str, Any] = ways.workers[name].asked[-1][0]["request"]
    return found


def test_a_hook_is_told_of_the_request() -> None:
    """A hook gets the path below the base, decoded, and the rest unchanged."""
    ways = Ways()
    assert ways.begin()
    told = request(ways)
    assert (told["method"], told["path"], told["query"]) == ("GET", "/a b", "x=1")
    assert ["x-a", "1"] in told["headers"]
    assert (told["host"], told["app"]) == ("shop.example", "shop")
    assert not {"isWebSocket", "isPublic", "identity", "version"} & told.keys()  # none, or false


def test_each_is_asked_after_the_other_has_let_it_pass() -> None:
    """The hooks are asked in turn, and the request goes on when all have let it pass."""
    ways = Ways("ab")
    ways.begin()
    assert not ways.workers["b"].asked
    ways.workers["a"].say("continue")
    assert not ways.passed
    ways.workers["b"].say("continue")
    assert ways.passed == 1
    assert ways.exchange.responder is None


def test_a_field_that_one_sets_is_seen_by_the_next() -> None:
    """The next hook sees the changed field, and so does the app, instead of the original."""
    ways = Ways("ab")
    ways.begin()
    ways.workers["a"].say("continue", headers={"X-A": "2"})
    assert ["x-a", "2"] in request(ways, "b")["headers"]
    assert ["x-a", "1"] not in request(ways, "b")["headers"]
    assert ("x-a", "2") in ways.exchange.headers


def test_a_plugin_answers() -> None:
    """If a plugin answers, no other hook is asked, and the app gets no request."""
    ways = Ways("ab")
    ways.begin()
    ways.workers["a"].say("respond", b"no", status=401, headers=[["x-why", "key"]])
    assert ways.client.written.startswith(b"HTTP/1.1 401 ")
    assert ways.client.written.endswith(b"\r\n\r\nno")
    assert not ways.passed
    assert not ways.workers["b"].asked


def test_a_plugin_answers_by_pieces() -> None:
    """A plugin may answer in pieces, under credit, as apps do."""
    ways = Ways()
    ways.begin()
    worker = ways.workers["a"]
    worker.say("respond", b"one", status=200, headers=[], end=False)
    worker.taker.on_piece(b"x" * 100_000, end=False)
    assert worker.credit >= 100_000
    worker.taker.on_piece(b"two", end=True)
    assert ways.client.written.endswith(b"3\r\ntwo\r\n0\r\n\r\n")
    assert ways.exchange.is_ended


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("failed", {"error": "boom", "traceback": "..."}),
        ("change", {"status": 200, "headers": []}),
        ("nonsense", {}),
        ("continue", {"path": "/x"}),
        ("continue", {"identity": {"user": "ann"}}),
        ("continue", {"headers": {"a b": "c"}}),
        ("continue", {"headers": {"a": "b\r\nc: d"}}),
        ("continue", {"headers": {"content-length": "3"}}),
        ("continue", {"headers": {"x-identity": "{}"}}),
        ("respond", {"status": 99, "headers": []}),
        ("respond", {"status": 200, "headers": "x"}),
    ],
)
def test_a_hook_that_fails_or_says_what_it_must_not(action: str, said: dict[str, Any]) -> None:
    """If a hook fails or says something invalid, the client gets 502, and the log says why."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say(action, **said)
    assert ways.client.written.startswith(b"HTTP/1.1 502 ")
    assert b"plugin_failed" in ways.client.written
    assert not ways.passed
    assert [(each["event"], each["plugin"]) for each in ways.logged] == [
        ("plugin.hook_failed", "a")
    ]


def test_a_failure_can_be_ignored() -> None:
    """If the manifest says so the request goes on in spite of a failure."""
    ways = Ways("ab", onError="ignore")
    ways.begin()
    ways.workers["a"].say("failed", error="boom", traceback="")
    ways.workers["b"].say("continue")
    assert ways.passed == 1
    assert [each["event"] for each in ways.logged] == ["plugin.hook_ignored"]


def test_a_hook_that_is_late() -> None:
    """A late hook is cancelled, and the stacks of its threads are requested."""
    ways = Ways(hookTimeout="2s")
    ways.begin()
    ways.pass_late(1.9)
    assert ways.client.written == b""
    ways.pass_late(0.2)
    assert ways.client.written.startswith(b"HTTP/1.1 502 ")
    assert ways.workers["a"].given_up == [(1, "deadline")]
    assert ways.workers["a"].stacks


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
@pytest.mark.parametrize("is_stuck", [False, True])
def test_a_plugin_that_is_stuck(hook: str, *, is_stuck: bool) -> None:
    """A stuck plugin is killed, and the log says why; one that is late now and then is not."""
    ways = Ways()
    ways.workers["a"].is_stuck = is_stuck
    ways.begin()
    if hook == "on_response":
        ways.workers["a"].say("continue")
        ways.exchange.respond(200, [])
    ways.pass_late(2)
    assert ways.workers["a"].kills == is_stuck
    events = [each["event"] for each in ways.logged]
    assert events == ["plugin.stuck"] * is_stuck + ["plugin.hook_failed"]


def test_a_hook_whose_process_dies() -> None:
    """If the hook's process dies the client gets 503: the plugin will be back."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].die()
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in ways.client.written.lower()


def test_a_plugin_that_is_away() -> None:
    """While the plugin is away the request is refused before anybody else gets it."""
    ways = Ways()
    ways.workers.clear()
    with pytest.raises(ServerFault, match="not available") as refused:
        ways.begin()
    assert (refused.value.status, refused.value.code) == (503, "plugin_unavailable")


def test_a_plugin_that_is_away_and_may_be() -> None:
    """With `onError: ignore` the request goes on."""
    ways = Ways(onError="ignore")
    ways.workers.clear()
    assert not ways.begin()


def test_an_outage_is_said_once() -> None:
    """While requests go on without a plugin, the first of them is logged; when the plugin has
    served, or nothing was skipped for a minute, the next one is."""
    ways = Ways(onError="ignore")

    def skip() -> int:
        assert not ways.begin()
        return len(ways.logged)

    ways.workers.clear()
    assert [skip() for _ in range(3)] == [1, 1, 1]
    ways.change()
    assert skip() == 1
    said = ways.logged[0]
    assert (said["event"], said["plugin"], said["hook"]) == (
        "plugin.hook_skipped",
        "a",
        "on_request",
    )
    assert said["request_id"] == ways.exchange.id
    ways.serve()
    ways.workers.clear()
    assert [skip(), skip()] == [2, 2]
    for later_s in (59.0, 59.0, 61.0):
        ways.client.fake_service.loop.now += later_s
        skip()
    assert len(ways.logged) == 3
    assert counted(ways, "a", "on_request") == {"away": 9}


def test_what_is_closed_is_said_once_a_minute() -> None:
    """While a manifest cannot be read each request is refused, but not each is logged; another
    reason is logged at once."""
    ways = Ways()
    loop = ways.client.fake_service.loop

    def refuse(why: str) -> list[object]:
        ways.logged.clear()
        assert ways.hooking.is_closed(Plan(closed=why), ways.exchange)
        return [each["requests"] for each in ways.logged]

    assert [refuse("a: wrong") for _ in range(3)] == [[1], [], []]
    assert refuse("b: wrong") == [1]
    assert refuse("b: wrong") == []
    loop.now += 60
    assert refuse("b: wrong") == [2]
    assert not ways.hooking.is_closed(Plan(), ways.exchange)


def test_a_guard_that_does_not_serve_closes() -> None:
    """A guard that does not serve refuses requests, even if another of its processes is there."""
    ways = Ways(stage="access", away="it has failed")
    with pytest.raises(ServerFault, match="not available"):
        ways.begin()


# While a plugin's process is replaced


def test_a_request_waits_for_a_plugin_that_changes() -> None:
    """The plugin is asked when it serves again, and then has its full time."""
    ways = Ways(hookTimeout="2s")
    ways.swap()
    assert ways.begin()
    ways.pass_late(1.9)
    ways.serve()
    ways.pass_late(1.9)
    ways.workers["a"].say("continue")
    assert ways.passed == 1
    assert repr(ways.hooking.changing) == "Changing(0 wait)"


def test_it_waits_no_longer_than_a_hook_may_take() -> None:
    """After that time the client gets 503, as if the plugin were away."""
    ways = Ways(hookTimeout="2s")
    ways.swap()
    ways.begin()
    ways.pass_late(2.1)
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")
    assert b"plugin_unavailable" in ways.client.written
    assert repr(ways.hooking.changing) == "Changing(0 wait)"
    ways.serve()
    assert not ways.workers["a"].asked


def test_it_waits_for_nobody_who_has_failed() -> None:
    """If neither version of the code could be started there is nothing to wait for."""
    ways = Ways()
    ways.swap()
    ways.begin()
    ways.changing.clear()
    ways.change()
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")


def test_it_does_not_wait_at_a_guard_that_is_closed() -> None:
    """Waiting does not get a request past a guard that is closed."""
    ways = Ways(stage="access", away="it has failed")
    ways.swap()
    with pytest.raises(ServerFault, match="not available"):
        ways.begin()


def test_it_waits_for_a_guard_that_comes() -> None:
    """A guard that is started for the first time is waited for, longer than a hook may take."""
    ways = Ways(stage="access", away="is being started", is_coming=True, hookTimeout="1s")
    ways.swap()
    assert ways.begin()
    ways.pass_late(9.0)
    assert not ways.client.written
    ways.plan = Plan(hooks("a", stage="access"))
    ways.serve()
    ways.workers["a"].say("continue")
    assert ways.passed == 1


def test_it_does_not_wait_for_ever() -> None:
    """A guard that does not serve in time closes what it guards."""
    ways = Ways(stage="access", away="is being started", is_coming=True)
    ways.swap()
    ways.begin()
    ways.pass_late(10.1)
    assert b"plugin_unavailable" in ways.client.written
    assert ways.logged[-1]["error"] == "it did not start in 10 s"


@pytest.mark.parametrize("stage", ["route", "content"])
def test_others_that_come_are_waited_for(stage: str) -> None:
    """A plugin that starts with the runtime is asked about the first request too; where its code
    has no hook, or it does not serve in time, the request goes on."""
    for outcome in ("asked", "no hook", "late"):
        ways = Ways(stage=stage, away="is being started", is_coming=True)
        ways.swap()
        assert ways.begin()
        if outcome == "late":
            ways.pass_late(10.1)
            assert ways.logged[-1]["event"] == "plugin.hook_ignored"
        else:
            ways.plan = Plan(hooks("a", stage=stage) if outcome == "asked" else ())
            ways.serve()
        assert len(ways.workers["a"].asked if outcome != "late" else []) == (outcome == "asked")
        if outcome == "asked":
            ways.workers["a"].say("continue")
        assert ways.passed == 1


def test_who_may_be_passed_over_is_waited_for_too() -> None:
    """With `onError: ignore` the request goes on without the plugin when its time is over."""
    ways = Ways("ab", onError="ignore")
    ways.swap("a")
    ways.begin()
    assert not ways.workers["b"].asked
    ways.pass_late(1.1)
    ways.workers["b"].say("continue")
    assert ways.passed == 1
    assert [each["event"] for each in ways.logged] == ["plugin.hook_ignored"]


def test_a_client_leaves_while_its_request_waits() -> None:
    """If the client leaves while its request waits, nothing of the request is kept."""
    ways = Ways()
    ways.swap()
    ways.begin()
    ways.exchange.on_client_left()
    assert repr(ways.hooking.changing) == "Changing(0 wait)"
    ways.serve()
    ways.pass_late(2)
    assert not ways.workers["a"].asked


def test_so_many_wait_and_no_more() -> None:
    """Beyond the limit of waiting requests, the next one is refused at once."""
    ways = Ways()
    ways.swap()
    for _ in range(1000):
        ways.exchange = ways.client.request(GET)
        assert ways.begin()
    ways.exchange = ways.client.request(GET)
    with pytest.raises(ServerFault, match="not available"):
        ways.begin()


def test_a_plugin_that_is_switched_off_meanwhile() -> None:
    """A request that began before continues without the plugin, and so does an answer."""
    ways = Ways("ab")
    ways.begin()
    ways.workers.pop("b")
    ways.plan = Plan(ways.hooks[:1])
    ways.workers["a"].say("continue")
    assert ways.passed == 1
    ways.workers.pop("a")
    ways.plan = Plan()
    ways.exchange.respond(200, [], b"hello")
    assert ways.client.written.startswith(b"HTTP/1.1 200 ")


def test_an_answer_waits_for_a_plugin_that_changes() -> None:
    """The answer is shown to the process that serves then."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say("continue")
    ways.swap()
    ways.exchange.respond(200, [], b"hello")
    assert ways.client.written == b""
    ways.serve()
    assert ways.workers["a"].asked[-1][0]["hook"] == "on_response"
    ways.workers["a"].say("continue")
    assert ways.client.written.endswith(b"hello")


def test_an_answer_waits_no_longer_than_a_hook_may_take() -> None:
    """After that time the answer is withheld."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say("continue")
    ways.swap()
    ways.exchange.respond(200, [], b"secret")
    ways.pass_late(1.1)
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")
    assert b"secret" not in ways.client.written
    assert repr(ways.hooking.changing) == "Changing(0 wait)"


def test_a_client_leaves_while_its_answer_waits() -> None:
    """If the client leaves while its answer waits, nothing of the answer is kept."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say("continue")
    ways.swap()
    ways.exchange.respond(200, [], b"hello")
    ways.exchange.on_client_left()
    assert repr(ways.hooking.changing) == "Changing(0 wait)"


def test_the_answer_goes_to_the_generation_that_serves() -> None:
    """If the plugin was reloaded after the request, the answer goes to the new process, since the
    old one may be gone."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say("continue")
    ways.workers["a"].is_open = False
    ways.serve()
    ways.exchange.respond(200, [], b"hello")
    ways.workers["a"].say("change", status=201, headers=[])
    assert ways.client.written.startswith(b"HTTP/1.1 201 ")


def test_the_client_leaves_while_a_hook_is_asked() -> None:
    """If the client leaves while a hook is asked, the hook is told."""
    ways = Ways()
    ways.begin()
    ways.exchange.on_client_left()
    assert ways.workers["a"].given_up == [(1, "client")]
    assert ways.exchange.is_ended


def test_an_identity_is_told_to_the_next_and_to_the_app() -> None:
    """An identity is accepted only from the identity stage, and once."""
    ways = Ways("ab", stage="identity", on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", identity={"user": "ann"})
    assert request(ways, "b")["identity"] == {"user": "ann"}
    ways.workers["b"].say("continue", identity={"user": "eve"})
    assert ways.client.written.startswith(b"HTTP/1.1 502 ")


def test_what_clients_say_of_identities_is_for_nobody() -> None:
    """Identity fields from clients are dropped, in any spelling. A plugin's cookie goes to that
    plugin only."""
    ways = Ways("ab", on=frozenset({"on_request"}))
    raw = GET.replace(b"X-A: 1", b"X-Identity: {}\r\nx_identity: {}\r\nCookie: sid=7; b=1")
    ways.exchange = ways.client.request(raw)
    ways.begin()
    assert ["cookie", "sid=7; b=1"] in request(ways, "a")["headers"]
    ways.workers["a"].say("continue")
    fields = request(ways, "b")["headers"]
    assert ["cookie", "b=1"] in fields
    assert not [name for name, _ in fields if "identity" in name]


# Cached verdicts


def test_a_verdict_is_kept_for_its_time() -> None:
    """The next similar request needs no question; one for another path, or a later one, does."""
    ways = Ways(on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", cacheS=10, headers={"x-b": "1"})
    ways.exchange = ways.client.request(GET)
    assert not ways.begin()
    assert ("x-b", "1") in ways.exchange.headers
    ways.exchange = ways.client.request(GET.replace(b"x=1", b"x=2"))
    assert ways.begin()
    ways.exchange = ways.client.request(GET)
    ways.pass_late(10.0)
    assert ways.begin()


def recalled(said: Mapping[str, Any]) -> Ways:
    """Requests that came twice, after a verdict that holds for 10 s."""
    ways = Ways(on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", **{"cacheS": 10, **said})
    for _ in range(2):
        ways.exchange = ways.client.request(GET)
        assert not ways.begin()
    ways.exchange = ways.client.request(GET)
    return ways


def test_a_request_that_comes_again() -> None:
    """A verdict that is found by the head alone is applied as before, and ends as before."""
    ways = recalled({"headers": {"x-b": "1"}, "tags": ["t"]})
    assert not ways.begin()
    assert ("x-b", "1") in ways.exchange.headers
    assert ways.meters.of("a").kept_hits == 3
    ways.exchange = ways.client.request(GET)
    ways.hooking.forget("a", "t")
    assert ways.begin()


def test_a_head_that_comes_again_after_the_time_of_its_verdict() -> None:
    """Its hook is asked again."""
    ways = recalled({})
    ways.pass_late(10.0)
    assert ways.begin()


@pytest.mark.parametrize(
    "change",
    [
        lambda ways: ways.exchange.identify({"user": "eve"}),
        lambda ways: ways.exchange.show((("host", "shop.example"),)),
        lambda ways: setattr(ways.exchange, "base", "/shop@1"),
        lambda ways: setattr(ways.exchange, "sender", Sender(("192.0.2.9", 1))),
        lambda ways: setattr(ways.exchange, "sender", Sender(("10.0.0.1", 1), "https")),
        lambda ways: setattr(ways.exchange, "sender", Sender(("10.0.0.1", 1), "http", "b")),
        lambda ways: setattr(ways.workers["a"], "number", 2),
        lambda ways: setattr(ways, "facts", FACTS._replace(version="2.0.0")),
        lambda ways: setattr(ways, "facts", FACTS._replace(path="/other")),
    ],
    ids=["identity", "fields", "base", "client", "scheme", "host", "generation", "version", "path"],
)
def test_a_head_that_comes_again_in_other_circumstances(change: Callable[[Ways], object]) -> None:
    """Whatever else the hook may see is compared too, besides the head."""
    ways = recalled({"vary": ["client", "x-a"]})
    change(ways)
    assert ways.begin()


def test_a_verdict_of_another_generation_is_not_kept() -> None:
    """After a reload the new code is asked again."""
    ways = Ways(on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", cacheS=10)
    ways.workers["a"].number = 2
    ways.exchange = ways.client.request(GET)
    assert ways.begin()


# Answers


def answered(ways: Ways) -> None:
    """All hooks have let the request pass, and the app answers."""
    ways.begin()
    for worker in ways.workers.values():
        worker.say("continue")
    ways.exchange.respond(200, [("x-app", "1")], b"hello")


def test_an_answer_comes_back_in_reverse() -> None:
    """Each hook sees the answer as the hook after it in the request's order has changed it."""
    ways = Ways("ab")
    answered(ways)
    asked, _ = ways.workers["b"].asked[-1]
    assert asked["hook"] == "on_response"
    assert asked["response"] == {"status": 200, "headers": [["x-app", "1"]]}
    ways.workers["b"].say("change", status=201, headers=[["x-b", "2"]])
    asked, _ = ways.workers["a"].asked[-1]
    assert asked["response"] == {"status": 201, "headers": [["x-b", "2"]]}
    assert ways.client.written == b""
    ways.workers["a"].say("continue")
    assert ways.client.written.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nx-b: 2\r\n" in ways.client.written
    assert ways.client.written.endswith(b"hello")


def test_an_answer_goes_back_through_those_alone_that_had_the_request() -> None:
    """An answer by a hook goes back neither to that hook nor to those after it."""
    ways = Ways("abc")
    ways.begin()
    ways.workers["a"].say("continue")
    ways.workers["b"].say("respond", b"no", status=403, headers=[])
    assert [len(each.asked) for each in ways.workers.values()] == [2, 1, 0]
    ways.workers["a"].say("continue")
    assert ways.client.written.startswith(b"HTTP/1.1 403 ")


def test_another_answer_in_the_apps_place() -> None:
    """If a hook replaces the app's answer, the hooks before it see the new one."""
    ways = Ways("ab")
    answered(ways)
    ways.workers["b"].say("respond", b"gone", status=410, headers=[])
    asked, _ = ways.workers["a"].asked[-1]
    assert asked["response"]["status"] == 410
    ways.workers["a"].say("continue")
    assert ways.client.written.startswith(b"HTTP/1.1 410 ")
    assert ways.client.written.endswith(b"gone")


def test_a_cookie_that_a_hook_sets() -> None:
    """A cookie set by on_request is on the answer, even if the plugin has no on_response."""
    ways = Ways(on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", headers={"set-cookie": "seen=1; Path=/"})
    ways.exchange.respond(200, [], b"")
    assert b"\r\nset-cookie: seen=1; Path=/\r\n" in ways.client.written


def test_an_answer_fails_with_its_hook() -> None:
    """If the hook on the answer fails the client gets 502, and the log says that the app had
    already answered."""
    ways = Ways()
    answered(ways)
    ways.workers["a"].say("failed", error="boom", traceback="")
    assert ways.client.written.startswith(b"HTTP/1.1 502 ")
    assert "had already answered" in ways.logged[0]["error"]


def test_the_answer_of_a_generation_that_is_gone() -> None:
    """If the generation that had the request is gone it cannot see the answer, so the answer is
    withheld."""
    ways = Ways()
    ways.begin()
    ways.workers["a"].say("continue")
    ways.workers["a"].is_open = False
    ways.exchange.respond(200, [], b"secret")
    assert ways.client.written.startswith(b"HTTP/1.1 503 ")
    assert b"secret" not in ways.client.written


def test_the_client_leaves_while_its_answer_is_looked_at() -> None:
    """If the client leaves while a hook has its answer, the hook is told, and nothing is sent."""
    ways = Ways()
    answered(ways)
    ways.exchange.on_client_left()
    assert ways.workers["a"].given_up == [(2, "client")]
    assert isinstance(ways.exchange, Exchange)
    assert ways.client.written == b""


def test_no_plugins_cost_nothing() -> None:
    """An empty plan has no hooks for any request."""
    assert Plan().of("shop") == ()


# Streams


def streaming(ways: Ways) -> None:
    """An event stream that a hook has let in."""
    worker = FakeResponder(ways.exchange)
    ways.exchange.hand_over(worker, 30.0)
    ways.exchange.stream(200, [("content-type", "text/event-stream")], b"data: 1\n\n")


def let_in(**said: Any) -> Ways:
    ways = Ways(on=frozenset({"on_request"}))
    ways.begin()
    ways.workers["a"].say("continue", **said)
    return ways


def test_a_stream_ends_when_its_tag_is_forgotten() -> None:
    """A stream ends when its tag is forgotten, not with another tag or another plugin's."""
    ways = let_in(tags=["session:7"])
    streaming(ways)
    ways.hooking.forget("a", "session:8")
    ways.hooking.forget("b", "session:7")
    assert not ways.exchange.is_ended
    ways.hooking.forget("a", "session:7")
    assert ways.exchange.is_ended
    assert ways.client.written.endswith(b"0\r\n\r\n")


def test_a_stream_that_was_forgotten_before_it_opened() -> None:
    """If the session ends while the app makes its answer, the stream is not opened."""
    ways = let_in(tags=["session:7"])
    ways.hooking.forget("a", "session:7")
    streaming(ways)
    assert ways.exchange.is_ended


def test_a_stream_whose_time_has_come() -> None:
    """A stream ends by itself when its time is over."""
    ways = let_in(until=time() + 10)
    streaming(ways)
    loop = ways.client.fake_service.loop
    [(delay_s, end_due)] = loop.later
    assert 9 < delay_s <= 10
    loop.now += 11
    end_due()
    assert ways.exchange.is_ended


def test_what_has_ended_is_kept_nowhere() -> None:
    """Nothing is kept of ended streams, however many there were."""
    ways = let_in(tags=["session:7"])
    streaming(ways)
    ways.exchange.on_client_left()
    assert repr(ways.hooking.footings) == "Footings(0 open)"


def test_a_kept_verdict_with_a_tag_is_forgotten() -> None:
    """After its tag is forgotten, a cached verdict no longer counts, and the next request is asked
    about."""
    ways = let_in(tags=["session:7"], cacheS=10)
    ways.exchange = ways.client.request(GET)
    assert not ways.begin()
    ways.hooking.forget("a", "session:7")
    ways.exchange = ways.client.request(GET)
    assert ways.begin()


# Counters


def counted(ways: Ways, name: str, hook: str) -> dict[str, int]:
    """The counters of a hook's verdicts and failures that are not 0."""
    meter = ways.meters.of(name).hook(hook)
    return {str(kind): n for kind, n in {**meter.verdicts, **meter.failures}.items() if n}


def test_verdicts_are_counted() -> None:
    """Verdicts are counted by kind, with the time that the hook took."""
    ways = Ways("ab")
    ways.begin()
    ways.client.fake_service.loop.now += 0.5
    ways.workers["a"].say("continue")
    ways.workers["b"].say("continue")
    ways.exchange.respond(200, [])
    ways.workers["b"].say("change", status=200, headers=[])
    ways.workers["a"].say("continue")
    assert counted(ways, "a", "on_request") == counted(ways, "b", "on_request") == {"continue": 1}
    assert counted(ways, "a", "on_response") == {"continue": 1}
    assert counted(ways, "b", "on_response") == {"change": 1}
    assert ways.meters.of("a").hook("on_request").seconds.sum == 0.5


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (lambda ways: ways.workers["a"].say("failed", error="x", traceback=""), "raised"),
        (lambda ways: ways.workers["a"].say("change", status=200, headers=[]), "bad"),
        (lambda ways: ways.workers["a"].die(), "died"),
        (lambda ways: ways.pass_late(2), "late"),
    ],
    ids=["raised", "bad", "died", "late"],
)
def test_failures_are_counted(what: Any, kind: str) -> None:
    """Failures are counted by why there is no verdict."""
    ways = Ways()
    ways.begin()
    what(ways)
    assert counted(ways, "a", "on_request") == {kind: 1}


def test_who_was_not_asked_is_counted() -> None:
    """A plugin that was not asked is counted as away, without a time."""
    ways = Ways()
    ways.workers.clear()
    with pytest.raises(ServerFault):
        ways.begin()
    assert counted(ways, "a", "on_request") == {"away": 1}
    assert ways.meters.of("a").hook("on_request").seconds.count == 0


@pytest.mark.parametrize("ignores", [False, True])
def test_who_has_no_hook_of_requests_is_missed_at_the_answer(*, ignores: bool) -> None:
    """A plugin that only sees answers is counted and logged by the hook that it has."""
    ways = Ways(on=frozenset({"on_response"}), onError="ignore" if ignores else "refuse")
    ways.workers.clear()
    if ignores:
        assert not ways.begin()
        assert [each["hook"] for each in ways.logged] == ["on_response"]
    else:
        with pytest.raises(ServerFault):
            ways.begin()
    assert counted(ways, "a", "on_response") == {"away": 1}
    assert "on_request" not in ways.meters.of("a").hooks


def test_kept_verdicts_are_counted() -> None:
    """Cached verdicts are counted by whether one applied."""
    ways = Ways()
    for _ in range(2):
        ways.exchange = FakeClient(ways.client.fake_service).request(GET)
        ways.begin()
        if ways.workers["a"].asked:
            ways.workers["a"].say("continue", cacheS=10)
            ways.workers["a"].forget()
    meter = ways.meters.of("a")
    assert (meter.kept_hits, meter.kept_misses) == (1, 1)


def test_hooks_of_a_request_are_remembered_for_one_plan() -> None:
    """What is remembered for one plan is rebuilt for the next: with other limits, and other
    cookies."""
    ways = Ways("ab")
    parts = ways.hooking.parts
    first = parts.of(ways.hooks[0])
    assert first is not None
    assert parts.of(ways.hooks[0]) is first
    ways.hooks = hooks("ab", hookTimeout="3s")
    ways.plan = Plan(ways.hooks)
    second = parts.of(first.hook)
    assert second is not None
    assert second.hook.timeout_s == 3
    ways.plan = Plan(ways.hooks[1:])
    assert parts.of(first.hook) is None


@pytest.mark.parametrize(("length", "kept"), [(10, 1), (600, 0)])
def test_so_many_requests_are_remembered(length: int, kept: int) -> None:
    """A bounded number of requests is remembered, and none with a long path."""
    ways = Ways()
    parts = ways.hooking.parts
    found = Found((), FACTS)
    for number in range(1001):
        parts.remember(("step", "GET", f"/{number:0{length}}", "a"), found)
    assert len(parts.found) == kept
    ways.plan = Plan(ways.hooks)
    parts.of(ways.hooks[0])
    assert not parts.found


@pytest.mark.parametrize(("cache_s", "most"), [(None, 50), (60, 19)])
def test_a_hook_costs_few_calls(cache_s: int | None, most: int) -> None:
    """Bounds the calls, in Python and in C, for the third of three similar requests, also with a
    cached verdict."""
    ways = Ways(on=frozenset({"on_request"}))
    said = {} if cache_s is None else {"cacheS": cache_s}

    def pass_hooks() -> None:
        if ways.begin():
            ways.workers["a"].say("continue", **said)

    for _ in range(2):
        pass_hooks()
        ways.exchange = ways.client.request(GET)
    count = count_calls(pass_hooks)
    assert len(ways.workers["a"].asked) == (3 if cache_s is None else 1)
    assert count <= most
