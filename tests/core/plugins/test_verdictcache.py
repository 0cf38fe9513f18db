"""Cached verdicts: which requests one applies to, for how long, and what ends it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.forgotten import Forgotten
from buntime.core.plugins.openstreams import Footing, OpenStreams
from buntime.core.plugins.vary import Source, values_of
from buntime.core.plugins.verdict import Change, Continue, Failed, Respond
from buntime.core.plugins.verdictcache import WAYS_MAX, Asked, Common, VerdictCache
from buntime.sdk.cookies import parse_cookies

NOW, WALL = 1000.0, 1.7e9
COMMON = Common("authn", 1, "shop", "1.0.0", "/shop", "https", "a", "GET", False, "", ())
ASKED = Asked(COMMON, "/cart?x=1", (("cookie", "sid=s1"), ("x-a", "1")), "192.0.2.1")
SESSION = Continue(
    changes=(("x-user", "ann"),),
    cache_s=30.0,
    vary=(Source("cookie", "sid"),),
    any_path=True,
    tags=("session:1",),
)


def keep(
    cache: VerdictCache,
    asked: Asked = ASKED,
    verdict: Any = SESSION,
    *,
    at: float = NOW,
    **more: Any,
) -> bool:
    return cache.put(asked, verdict, **{"asked_at": at, "now": at, "wall_s": WALL, **more})


def test_a_session() -> None:
    """A session that was checked once is known on all paths for as long as the hook said."""
    cache = VerdictCache()
    assert cache.get(ASKED, NOW) is None
    assert keep(cache)
    assert cache.get(ASKED._replace(target="/other"), NOW + 29.9) is SESSION
    assert cache.get(ASKED, NOW + 30) is None
    assert len(cache) == cache.size_bytes == 0


@pytest.mark.parametrize(
    "other",
    [
        *(
            COMMON._replace(**change)
            for change in (
                {"plugin": "other"},
                {"generation": 2},
                {"app": "blog"},
                {"version": "1.0.1"},
                {"base": "/shop@1"},
                {"scheme": "http"},
                {"host": "b"},
                {"method": "POST"},
                {"is_websocket": True},
                {"identity": '{"user":"eve"}'},
                {"proxy": (("x-forwarded-user", "eve"),)},
            )
        )
    ],
    ids=str,
)
def test_whatever_it_may_depend_on(other: Common) -> None:
    """A verdict applies only to requests that the hook could not have told from the first one."""
    cache = VerdictCache()
    assert keep(cache)
    assert cache.get(ASKED._replace(common=other), NOW) is None


def test_paths_and_queries() -> None:
    """Without any_path a verdict applies to exactly this target, as it was sent."""
    cache = VerdictCache()
    assert keep(cache, verdict=Continue(cache_s=10.0))
    assert cache.get(ASKED, NOW)
    for target in ("/cart", "/cart?x=2", "/Cart?x=1", "/%63art?x=1", "/cart/?x=1"):
        assert cache.get(ASKED._replace(target=target), NOW) is None


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("cookie", "sid=s2"),),
        (("cookie", "sid="),),
        (("cookie", "SID=s1"),),
        (("cookie", "sid=s1; sid=s2"),),
        (("cookie", "sid=s2"), ("cookie", "sid=s1")),
        (("x-cookie", "sid=s1"),),
        (("cookie", "\xa0sid=s1"),),
        (("cookie", "sid=s1\x85"),),
    ],
)
def test_values(fields: Any) -> None:
    """Another value, no value, or two values make another request."""
    cache = VerdictCache()
    assert keep(cache)
    assert cache.get(ASKED._replace(fields=fields), NOW) is None


_BLANK = st.sampled_from(["", " ", "\t", "\xa0", "\x85", ";", '"'])
_PAIR = st.tuples(_BLANK, st.just("sid"), _BLANK, st.just("="), _BLANK, st.just("s1"), _BLANK)


@given(st.lists(_PAIR.map("".join), max_size=2))
def test_cookies_are_read_as_hooks_read_them(values: list[str]) -> None:
    """Requests that are alike for the cache have the same cookie for the hook."""
    source = (Source("cookie", "sid"),)
    (kept,) = values_of(source, tuple(("cookie", value) for value in values), "")
    seen = parse_cookies(values).get("sid")
    again = parse_cookies([f"sid={value}" for value in kept]).get("sid")
    assert seen == again


def test_absent_is_a_value() -> None:
    """ "Not signed in" may be cached, and says nothing about requests that are."""
    cache = VerdictCache()
    anonymous = ASKED._replace(fields=())
    nobody = SESSION.__class__(cache_s=10.0, vary=SESSION.vary, any_path=True)
    assert keep(cache, anonymous, nobody)
    assert cache.get(anonymous, NOW) is nobody
    assert cache.get(ASKED, NOW) is None


def test_other_values_do_not_matter() -> None:
    """Values that the hook did not name make no difference."""
    cache = VerdictCache()
    assert keep(cache)
    assert cache.get(ASKED._replace(fields=(("cookie", "a=b; sid=s1"),), client="::1"), NOW)
    assert keep(cache, verdict=Continue(cache_s=10.0, vary=(Source("client", ""),)), at=NOW)


@pytest.mark.parametrize(
    ("verdict", "more"),
    [
        (Continue(), {}),
        (Continue(cache_s=0.0, tags=("a",)), {}),
        (Continue(cache_s=10.0, cookies=("a=1",)), {}),
        (SESSION, {"saw_body": True}),
        (Respond(200, (), end=True), {}),
        (Change(200, ()), {}),
        (Failed("x", ""), {}),
        (Continue(cache_s=10.0, until_s=WALL), {}),
        (Continue(cache_s=10.0, vary=SESSION.vary, changes=(("x", "y" * 20_000),)), {}),
    ],
)
def test_never_kept(verdict: Any, more: dict[str, Any]) -> None:
    """Answers, cookies, and verdicts that depend on a body, are too large or expired are not
    cached."""
    cache = VerdictCache()
    assert not keep(cache, verdict=verdict, **more)
    assert len(cache) == 0


def test_until() -> None:
    """A session that ends before `cache_s` ends its verdict."""
    cache = VerdictCache()
    assert keep(cache, verdict=Continue(cache_s=60.0, until_s=WALL + 5))
    assert cache.get(ASKED, NOW + 4.9)
    assert cache.get(ASKED, NOW + 5) is None


def test_forget() -> None:
    """Forgetting a tag drops the verdicts with that tag, for this plugin only."""
    cache = VerdictCache()
    other = ASKED._replace(common=COMMON._replace(plugin="audit"))
    assert keep(cache)
    assert keep(cache, ASKED._replace(fields=(("cookie", "sid=s2"),)))
    assert keep(cache, other)
    assert cache.forget("authn", "session:2", NOW) == 0
    assert cache.forget("authn", "session:1", NOW) == 2
    assert cache.get(ASKED, NOW) is None
    assert cache.get(other, NOW)


def test_forget_what_is_on_its_way() -> None:
    """A hook that was called before its session ended cannot restore it."""
    cache = VerdictCache()
    cache.forget("authn", "session:1", NOW + 1)
    assert not keep(cache, asked_at=NOW, now=NOW + 2)
    assert not keep(cache, asked_at=NOW + 1, now=NOW + 2)
    assert keep(cache, asked_at=NOW + 1.1, now=NOW + 2)
    assert keep(cache, ASKED._replace(common=COMMON._replace(plugin="other")), asked_at=NOW)


def sessions(number: int) -> Asked:
    return ASKED._replace(fields=(("cookie", f"sid=s{number}"),))


def test_bounded_by_entries() -> None:
    """The least recently used verdict is dropped."""
    cache = VerdictCache(entries_max=3)
    for number in range(3):
        assert keep(cache, sessions(number))
    assert cache.get(sessions(0), NOW)
    assert keep(cache, sessions(3))
    assert [bool(cache.get(sessions(number), NOW)) for number in range(4)] == [
        True,
        False,
        True,
        True,
    ]


def test_bounded_by_bytes() -> None:
    """A large verdict takes the place of several."""
    cache = VerdictCache(bytes_max=40_000)
    for number in range(100):
        keep(cache, ASKED._replace(fields=(("cookie", f"sid={number}{'x' * 5000}"),)))
        assert cache.size_bytes <= 40_000
    assert 0 < len(cache) < 8


def test_few_ways_to_tell_requests_apart() -> None:
    """A plugin that varies on ever more headers does not cause ever more lookups."""
    cache = VerdictCache()
    kept = [
        keep(cache, verdict=Continue(cache_s=10.0, vary=(Source("header", f"x-{number}"),)))
        for number in range(WAYS_MAX + 2)
    ]
    assert kept == [True] * WAYS_MAX + [False] * 2


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "get", "forget"]), st.integers(0, 5), st.integers(0, 3)),
        max_size=60,
    )
)
def test_nothing_is_left_over(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is added and removed, the counts match the entries, and end at zero."""
    cache, now = VerdictCache(entries_max=4), NOW
    for what, number, tag in steps:
        now += 1.0
        if what == "put":
            verdict = Continue(cache_s=5.0, vary=SESSION.vary, tags=(f"t{tag}", "all"))
            keep(cache, sessions(number), verdict, at=now)
        elif what == "get":
            cache.get(sessions(number), now)
        else:
            cache.forget("authn", f"t{tag}", now)
        assert len(cache) <= 4
        assert cache.size_bytes == sum(each.size_bytes for each in cache._entries.values())
    cache.forget("authn", "all", now + 1)
    assert len(cache) == cache.size_bytes == 0
    assert not cache._ways
    assert not cache._by_tag


def test_one_that_forgets_without_end() -> None:
    """A plugin that forgets without end only harms itself: the tags of others stay as they are."""
    forgotten = Forgotten()
    forgotten.add("a", "old", NOW)
    for number in range(20_000):
        forgotten.add("floods", str(number), NOW + 1)
    assert forgotten.since("floods", ["new"], NOW + 0.5)
    assert not forgotten.since("a", ["new"], NOW + 0.5)
    assert forgotten.since("a", ["old"], NOW - 0.5)


def test_forgotten_is_bounded() -> None:
    """If it is no longer known whether a tag was forgotten, it counts as forgotten."""
    forgotten = Forgotten()
    for number in range(10_010):
        forgotten.add("a", str(number), NOW + number / 1000)
    assert len(forgotten) == 10_000
    assert forgotten.since("a", ["new"], NOW + 0.005)
    assert not forgotten.since("a", ["new"], NOW + 1)
    assert not forgotten.since("a", [], NOW)
    forgotten.add("a", "late", NOW + 1000)
    assert len(forgotten) == 1
    assert forgotten.since("a", ["new"], NOW + 1)
    assert not forgotten.since("a", ["new"], NOW + 999)


def stand(streams: OpenStreams[str], stream: str, *verdicts: Continue, at: float = NOW) -> bool:
    footings = [Footing("authn", verdict, at) for verdict in verdicts]
    return streams.stand(stream, footings, now=NOW, wall_s=WALL)


def test_streams_end_with_their_tags() -> None:
    """A forgotten tag ends the streams that depend on it, once."""
    streams: OpenStreams[str] = OpenStreams(Forgotten())
    assert stand(streams, "a", SESSION)
    assert stand(streams, "b", SESSION, Continue(tags=("x",)))
    assert stand(streams, "c", Continue(tags=("x",)))
    assert stand(streams, "free", Continue())
    assert sorted(streams.forget("authn", "session:1")) == ["a", "b"]
    assert streams.forget("other", "x") == []
    assert streams.forget("authn", "x") == ["c"]
    assert len(streams) == 0


def test_streams_end_with_their_time() -> None:
    """The earliest of several ends counts; a stream that has closed is not reported."""
    streams: OpenStreams[str] = OpenStreams(Forgotten())
    assert stand(streams, "a", Continue(until_s=WALL + 9), Continue(until_s=WALL + 5))
    assert stand(streams, "b", Continue(until_s=WALL + 2))
    assert streams.due_at == NOW + 2
    streams.leave("b")
    assert streams.due(NOW + 4.9) == []
    assert streams.due(NOW + 5) == ["a"]
    assert streams.due_at is None


def test_streams_that_come_too_late() -> None:
    """A stream does not open if its tag was forgotten or its time is over."""
    forgotten = Forgotten()
    streams: OpenStreams[str] = OpenStreams(forgotten)
    forgotten.add("authn", "session:1", NOW)
    assert not stand(streams, "a", SESSION, at=NOW - 1)
    assert stand(streams, "a", SESSION, at=NOW + 1)
    assert not stand(streams, "b", Continue(until_s=WALL))
    assert len(streams) == 1


def test_streams_that_leave_take_no_memory() -> None:
    """Ten thousand streams that came and went leave no memory behind, even before their end."""
    streams: OpenStreams[int] = OpenStreams(Forgotten())
    for number in range(10_000):
        footing = Footing("authn", Continue(until_s=WALL + 1e6, tags=("a",)), NOW)
        assert streams.stand(number, [footing], now=NOW, wall_s=WALL)
        streams.leave(number)
    assert len(streams._due) < 100
    assert not streams._by_tag


def test_what_was_found_holds() -> None:
    """What was found holds for the verdict's time, unless the verdict is forgotten or dropped."""
    cache = VerdictCache(entries_max=1)
    keep(cache)
    kept = cache.find(ASKED, NOW)
    assert kept is not None
    assert cache.holds(kept, NOW + 29.9)
    assert not cache.holds(kept, NOW + 30)
    cache.forget("authn", "session:1", NOW)
    assert not cache.holds(kept, NOW)
    keep(cache, at=NOW + 1)
    kept = cache.find(ASKED, NOW + 1)
    assert kept is not None
    keep(cache, ASKED._replace(common=COMMON._replace(plugin="other")), at=NOW + 1)
    assert not cache.holds(kept, NOW + 1)


def test_what_still_holds_is_in_use() -> None:
    """Of two verdicts, the one that was asked for again is dropped last."""
    cache, other = VerdictCache(entries_max=2), COMMON._replace(plugin="other")
    keep(cache)
    kept = cache.find(ASKED, NOW)
    assert kept is not None
    keep(cache, ASKED._replace(common=other))
    assert cache.holds(kept, NOW + 2)
    keep(cache, ASKED._replace(common=other._replace(app="blog")), at=NOW + 2)
    assert cache.holds(kept, NOW + 2)
    assert cache.get(ASKED._replace(common=other), NOW + 2) is None
