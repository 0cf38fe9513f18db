"""The order in which plugins start, and the sentences about those that do not."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from buntime.core.plugins.manifest import PluginManifest
from buntime.core.plugins.order import Order, start_order
from tests.support.pluginmanifests import make_manifest as plugin


def test_dependencies_first() -> None:
    """A dependency starts before the plugin that needs it, in whatever order they are found."""
    order = start_order(
        [
            plugin("authn", dependencies=["keyval"], uses=["mail"]),
            plugin("keyval", provides=["kv"]),
            plugin("post", provides=["mail"], optionalDependencies=["zeta"]),
            plugin("zeta"),
        ]
    )
    assert order.start == ("keyval", "zeta", "post", "authn")
    assert order.left_out == {}
    assert order.stop == ("authn", "post", "zeta", "keyval")


def test_ties_by_name() -> None:
    """Independent plugins start by name, so the order is the same on every machine."""
    order = start_order([plugin(name) for name in ("c", "a", "@x/b", "b")])
    assert order.start == ("@x/b", "a", "b", "c")


def reasons(*manifests: PluginManifest, **about: object) -> dict[str, str]:
    return dict(start_order(manifests, **about).left_out)  # type: ignore[arg-type]  # as told


def test_what_is_not_there() -> None:
    """A sentence names what is missing, and the first cause in a chain."""
    told = reasons(
        plugin("a", dependencies=["b"]),
        plugin("b", dependencies=["c"]),
        plugin("c", dependencies=["gone"]),
        plugin("d", uses=["kv"]),
    )
    gone = "which is not installed; see buntime plugins list"
    assert told == {
        "a": f"a needs b, which is left out because c needs gone, {gone}",
        "b": f"b needs c, which needs gone, {gone}",
        "c": f"c needs gone, {gone}",
        "d": "d uses kv, a service that no plugin offers; install the plugin that does, or take "
        "it out of `uses` in the manifest",
    }


def test_a_typo() -> None:
    """The plugin or the service that was probably meant is named."""
    told = reasons(
        plugin("a", dependencies=["keyvall"]),
        plugin("b", uses=["kvs"]),
        plugin("notes", dependencies=["note"]),
        plugin("keyval", provides=["kv"]),
    )
    assert told == {
        "a": "a needs keyvall, which is not installed; did you mean keyval? (see buntime plugins "
        "list)",
        "b": "b uses kvs, a service that no plugin offers; did you mean kv?",
        "notes": "notes needs note, which is not installed; see buntime plugins list",
    }


def test_what_is_disabled() -> None:
    """A disabled plugin gets no sentence, but the plugins that need it do."""
    told = reasons(
        plugin("a", dependencies=["keyval"]),
        plugin("b", uses=["kv"]),
        plugin("keyval", provides=["kv"]),
        disabled={"keyval"},
    )
    assert told == {
        "a": "a needs keyval, which is disabled",
        "b": "b uses kv, a service of keyval, which is disabled",
    }


def test_what_has_failed() -> None:
    """The given reason is passed on, even for a plugin that could not be read."""
    told = reasons(
        plugin("a", dependencies=["keyval"]),
        plugin("b", dependencies=["broken"]),
        plugin("keyval"),
        failed={"keyval": "has failed: no space left", "broken": "cannot be read: line 3"},
    )
    assert told == {
        "a": "a needs keyval, which has failed: no space left",
        "b": "b needs broken, which cannot be read: line 3",
        "keyval": "keyval has failed: no space left",
    }


def test_versions() -> None:
    """A plugin whose range excludes the installed version is left out; if optional, it is
    ignored."""
    told = reasons(
        plugin("a", dependencies={"keyval": "^2.0"}),
        plugin("b", optionalDependencies={"keyval": "^2.0"}),
        plugin("keyval", version="1.3.0"),
    )
    assert told == {"a": "a needs keyval ^2.0, which is 1.3.0"}


def test_an_optional_dependency_may_fail() -> None:
    """A plugin starts even if an optional dependency has failed."""
    order = start_order([plugin("a", optionalDependencies=["b"]), plugin("b", dependencies=["c"])])
    assert order.start == ("a",)


def test_circles_are_named_in_full() -> None:
    """Each member names the whole circle, its dependents say so too, and all others start."""
    order = start_order(
        [
            plugin("c", uses=["x"]),
            plugin("a", dependencies=["b"], provides=["x"]),
            plugin("b", optionalDependencies=["c"]),
            plugin("d", dependencies=["a"]),
            plugin("e"),
        ]
    )
    assert order.start == ("e",)
    circle = "is in a cycle of dependencies: a -> b -> c -> a; remove one of them from its manifest"
    assert order.left_out == {
        "a": f"a {circle}",
        "b": f"b {circle}",
        "c": f"c {circle}",
        "d": f"d needs a, which {circle}",
    }


def test_one_base() -> None:
    """Of two plugins with the same base the second is refused, and both are named."""
    manifests = [plugin("a", base="/x"), plugin("b", base="/x"), plugin("c", base="/y")]
    assert reasons(*manifests) == {"b": "b has the base /x, which a has already"}
    assert reasons(*manifests, serving={"b"}) == {"a": "a has the base /x, which b has already"}
    assert reasons(*manifests, disabled={"a"}) == {}


def test_those_that_come_along_give_way() -> None:
    """A bundled plugin leaves base and service to any other, unless it is serving."""
    manifests = [plugin("a", base="/x", provides=["kv"]), plugin("b", provides=["kv"])]
    told = reasons(*manifests, plugin("c", base="/x"), bundled={"a"})
    assert told == {"a": "a has the base /x, which c has already"}
    assert reasons(*manifests, bundled={"a"}) == {
        "a": "a offers the service kv, which b offers already"
    }
    assert reasons(*manifests, bundled={"a"}, serving={"a"}) == {
        "b": "b offers the service kv, which a offers already"
    }


def test_one_service() -> None:
    """Only one plugin can offer a service."""
    told = reasons(
        plugin("a", provides=["kv"]), plugin("b", provides=["kv"]), plugin("c", uses=["kv"])
    )
    assert told == {"b": "b offers the service kv, which a offers already"}


def test_a_thousand_in_a_row() -> None:
    """A long chain causes neither a deep recursion nor a long sentence."""
    chain = [plugin(f"p{n}", dependencies=[f"p{n + 1}"]) for n in range(300)]
    assert max(map(len, reasons(*chain).values())) < 140
    assert len(start_order([*chain, plugin("p300")]).start) == 301


NAMES = [f"p{n}" for n in range(8)]
PLUGINS = st.fixed_dictionaries(
    {},
    optional={
        name: st.fixed_dictionaries(
            {},
            optional={
                "dependencies": st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
                "uses": st.lists(st.sampled_from(["kv", "mail"]), max_size=1),
                "provides": st.lists(st.sampled_from(["kv", "mail"]), max_size=1),
                "base": st.sampled_from(["/x", "/y"]),
                "version": st.sampled_from(["1.0.0", "2.0.0"]),
            },
        )
        for name in NAMES
    },
)


def made(keys: dict[str, dict[str, object]]) -> list[PluginManifest]:
    manifests = []
    for name, its in keys.items():
        needs = [each for each in its.get("dependencies", []) if each != name]  # type: ignore[attr-defined]
        uses = [each for each in its.get("uses", []) if each not in its.get("provides", [])]  # type: ignore[attr-defined, operator]
        manifests.append(plugin(name, **{**its, "dependencies": needs, "uses": uses}))
    return manifests


@given(
    PLUGINS,
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES), max_size=2),
    st.randoms(),
)
def test_the_laws_of_order(
    keys: dict[str, dict[str, object]], disabled: set[str], failed: set[str], shuffle: random.Random
) -> None:
    """The order is always deterministic and complete, and each plugin comes after what it needs."""
    manifests = made(keys)
    about = {"disabled": disabled, "failed": dict.fromkeys(failed, "has failed")}
    order: Order = start_order(manifests, **about)  # type: ignore[arg-type]  # as told
    shuffle.shuffle(manifests)
    assert start_order(manifests, **about) == order  # type: ignore[arg-type]  # as told
    enabled = {each.name: each for each in manifests if each.name not in disabled}
    # each enabled one is either started or has a reason
    assert sorted([*order.start, *order.left_out]) == sorted(enabled)
    assert failed.isdisjoint(order.start)
    providers = {
        service: each
        for each in enabled.values()
        for service, _ in each.provides
        if each.name in order.start
    }
    at = {name: place for place, name in enumerate(order.start)}
    bases = [enabled[name].base for name in order.start if enabled[name].base]
    assert len(set(bases)) == len(bases)
    for name in order.start:
        for dependency in enabled[name].dependencies:
            assert at[dependency.name] < at[name]
        for service in enabled[name].uses:
            assert at[providers[service].name] < at[name]
    for name, reason in order.left_out.items():
        assert reason.startswith(f"{name} ")


@given(PLUGINS, st.sampled_from(NAMES))
def test_enabling_is_not_needed_by_those_that_start(
    keys: dict[str, dict[str, object]], other: str
) -> None:
    """No plugin is left out if all that it needs starts and its base and services are free."""
    manifests = made(keys)
    order = start_order(manifests, disabled={other})
    started = [each for each in manifests if each.name in order.start]
    assert start_order(started).start == order.start
