"""The plan: which hooks see a request, in which order, and what an absent guard closes."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.plan import NO_PLUGINS, Hook, Plan, Standing, compile_plan, owner_of
from tests.support.pluginmanifests import make_manifest

BOTH = frozenset({"on_request", "on_response"})


def standing(
    name: str,
    *,
    hooks: frozenset[str] | None = BOTH,
    away: str = "",
    is_coming: bool = False,
    **keys: object,
) -> Standing:
    return Standing(make_manifest(name, **keys), hooks, away, is_coming=is_coming)


def plan_of(*standings: Standing, **unreadable: str) -> Plan:
    return compile_plan(standings, unreadable)


def asked(
    plan: Plan,
    owner: str = "shop",
    *,
    method: str = "GET",
    path: str = "/",
    host: str = "a",
    is_public: bool = False,
) -> list[Hook]:
    return list(plan.hooks_for(owner, method=method, path=path, host=host, is_public=is_public))


def names(hooks: list[Hook] | tuple[Hook, ...]) -> list[str]:
    return [hook.plugin for hook in hooks]


def test_the_order_of_hooks() -> None:
    """Hooks are ordered by stage, within a stage by `order`, then by name."""
    plan = plan_of(
        standing("z", order=1),
        standing("b", order=2),
        standing("a", order=2),
        standing("guard", stage="access"),
        standing("who", stage="identity"),
        standing("early", stage="access", order=-1),
        standing("where", stage="route"),
    )
    assert names(asked(plan)) == ["who", "early", "guard", "z", "a", "b"]
    assert names(plan.route(method="GET", path="/shop", host="a")) == ["where"]


def test_no_plugins() -> None:
    """Without plugins no hook is called."""
    assert asked(NO_PLUGINS) == []
    assert NO_PLUGINS.route(method="GET", path="/", host="") == ()
    assert not NO_PLUGINS.closed


def test_one_look_up_where_nothing_matches() -> None:
    """From the second request on, a request without any possible hook runs no matcher."""
    plan = plan_of(standing("a", match={"apps": ["other"], "paths": ["/**/x"]}))
    calls: list[str] = []

    def tell(frame: object, event: str, arg: object) -> None:
        if event in ("call", "c_call"):
            code = getattr(frame, "f_code")  # noqa: B009  # a frame, untyped here
            calls.append(arg.__name__ if event == "c_call" else code.co_name)  # type: ignore[union-attr, attr-defined]

    plan.of("shop")
    sys.setprofile(tell)
    try:
        found = plan.of("shop")
    finally:
        sys.setprofile(None)
    assert found == ()
    assert calls == ["of", "get", "setprofile"]


def test_matches() -> None:
    """App, path, method and host must all match."""
    plan = plan_of(
        standing(
            "a",
            match={"apps": ["shop"], "paths": ["/x/**"], "methods": ["GET"], "hosts": ["h"]},
        )
    )
    assert asked(plan, path="/x/y", host="h:80")
    assert not asked(plan, "other", path="/x/y", host="h")
    assert not asked(plan, path="/y", host="h")
    assert not asked(plan, path="/x/y", host="other")
    assert not asked(plan, path="/x/y", host="h", method="POST")


def test_a_path_with_two_readings_fits_all() -> None:
    """A path with two readings goes to every hook with paths."""
    plan = plan_of(
        standing("a", match={"paths": ["/admin/**"]}),
        standing("r", stage="route", match={"paths": ["/admin/**"]}),
    )
    for path in ("/x/../admin/a", "/a%2f..%2fadmin", "//admin/a"):
        assert asked(plan, path=path)
        assert plan.route(method="GET", path=path, host="a")
    assert not asked(plan, path="/x")


def test_the_base_of_a_plugin_at_an_apps_host() -> None:
    """On an app's own host it is a path like any other, and must not bypass the plugin's hook."""
    plan = plan_of(standing("r", stage="route", base="/r"))
    for path in ("/r", "/r/x"):
        assert plan.route(method="GET", path=path, host="a") == ()
        assert names(plan.route(method="GET", path=path, host="a", has_bases=False)) == ["r"]


def test_public_routes() -> None:
    """Stage access skips public routes unless it asks for them; all other stages see them."""
    plan = plan_of(
        standing("who", stage="identity"),
        standing("closed", stage="access"),
        standing("all", stage="access", match={"public": True}),
        standing("last"),
    )
    assert names(asked(plan, is_public=True)) == ["who", "all", "last"]


def test_its_own_base() -> None:
    """A plugin's hooks never see its own base; those of other plugins do."""
    plan = plan_of(
        standing("authn", stage="access", base="/authn"),
        standing("route", stage="route", base="/r"),
        standing("audit"),
        standing("shops", match={"apps": ["shop"]}),
    )
    assert names(asked(plan, owner_of("authn"))) == ["audit"]
    assert names(asked(plan, owner_of("audit"))) == ["authn"]
    assert names(asked(plan)) == ["authn", "audit", "shops"]
    assert asked(plan_of(standing("a")), "a"), "an app of that name is not the plugin"


def test_its_own_base_in_stage_route() -> None:
    """In stage route, its base is the first segment alone, wherever the rest seems to lead."""
    plan = plan_of(standing("route", stage="route", base="/r"))
    seen = [
        p
        for p in ("/r", "/r/", "/r/x", "/rx", "/x/../r", "/")
        if plan.route(method="GET", path=p, host="")
    ]
    assert seen == ["/rx", "/x/../r", "/"]


def test_a_guard_that_does_not_serve() -> None:
    """What an absent guard covers is closed, whatever is known of its code, and nothing else is."""
    for stage in ("identity", "access"):
        for hooks in (None, frozenset[str](), BOTH):
            guard = standing(
                "g", stage=stage, hooks=hooks, away="has died", match={"apps": ["shop"]}
            )
            (hook,) = asked(plan_of(guard))
            assert hook.closed == "has died"
            assert not asked(plan_of(guard), "other")


def test_a_guard_that_was_never_started() -> None:
    """What its code does is not known yet, so it is closed."""
    (hook,) = asked(plan_of(standing("g", stage="access", hooks=None)))
    assert hook.closed == "has not been started"


def test_a_guard_that_is_coming() -> None:
    """While it is started for the first time it is closed, but there is something to wait for."""
    why = "is being started"
    for is_coming in (True, False):
        guard = standing("g", stage="access", hooks=None, away=why, is_coming=is_coming)
        (hook,) = asked(plan_of(guard))
        assert hook.closed == why
        assert hook.is_shut is not is_coming


def test_others_that_are_coming() -> None:
    """Before it is known which hooks a plugin has there is something to wait for, whatever its
    stage. But no request needs it."""
    why = "is being started"
    for stage in ("route", "content"):
        coming = standing("p", stage=stage, hooks=None, away=why, is_coming=True)
        (hook,) = plan_of(coming).hooks
        assert (hook.away, hook.closed, hook.is_shut) == (why, "", False)
        assert not hook.is_needed(is_public=False)
        assert not plan_of(standing("p", stage=stage, hooks=None, away=why)).hooks


def test_a_guard_without_a_hook() -> None:
    """A misspelt on_request opens nothing."""
    (hook,) = asked(plan_of(standing("g", stage="access", hooks=frozenset({"on_response"}))))
    assert hook.closed == "has the stage access, but no on_request in its code"


def test_a_closed_guard_of_public_routes() -> None:
    """Public routes that the guard would not have seen stay open."""
    plan = plan_of(standing("g", stage="access", away="has died"))
    assert not asked(plan, is_public=True)
    assert asked(plan)


def test_others_that_do_not_serve() -> None:
    """A plugin that has served counts as absent; one that never has is in no way of any request."""
    plan = plan_of(
        standing("a", away="has died"),
        standing("b", away="has died", onError="ignore"),
        standing("c", away="failed", hooks=None),
        standing("d", hooks=frozenset({"on_shutdown"})),
    )
    assert [(hook.plugin, hook.away, hook.closed, hook.ignores) for hook in asked(plan)] == [
        ("a", "has died", "", False),
        ("b", "has died", "", True),
    ]


def test_only_on_response() -> None:
    """A plugin with on_response only is skipped on the way in, and called on the way back."""
    (hook,) = asked(plan_of(standing("a", hooks=frozenset({"on_response"}))))
    assert (hook.has_request, hook.has_response) == (False, True)


def test_an_unreadable_manifest() -> None:
    """Without a last good manifest everything is closed, and each faulty one is named."""
    plan = plan_of(standing("a"), b="b.yaml:3: bad", authn="x.yaml: bad")
    assert plan.closed == "authn: x.yaml: bad; b: b.yaml:3: bad"


def test_owners_are_bounded() -> None:
    """Many short-lived names do not fill the memory."""
    plan = plan_of(standing("a"))
    for number in range(10_100):
        plan.of(f"app{number}")
    assert len(plan._by_owner) <= 10_000


STANDINGS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from("abcdefgh"),
            "stage": st.sampled_from(["route", "identity", "access", "content"]),
            "order": st.integers(-2, 2),
        }
    ),
    unique_by=lambda each: each["name"],
    max_size=8,
)


@given(STANDINGS, st.randoms(), st.booleans())
def test_the_plan_does_not_depend_on_the_order_of_plugins(
    keys: list[dict[str, object]], shuffle: object, is_public: bool
) -> None:
    """However plugins are found, the same hooks run in the same order, each at most once."""
    plan = plan_of(*(standing(**each) for each in keys))  # type: ignore[arg-type]  # as drawn
    shuffle.shuffle(keys)  # type: ignore[attr-defined]  # a Random
    again = plan_of(*(standing(**each) for each in keys))  # type: ignore[arg-type]  # as drawn
    once = names(asked(plan, is_public=is_public))
    assert once == names(asked(again, is_public=is_public))
    assert len(set(once)) == len(once)
