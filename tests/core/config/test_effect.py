"""What a config file means for plugins, and when it may replace another one."""

from __future__ import annotations

from buntime.core.config.configfile import NO_CONFIG, ConfigFile, parse_config
from buntime.core.config.effect import (
    changed_plugins,
    effect_of,
    faults_of_change,
    mistyped_apps,
    unknown_plugins,
)
from tests.support.pluginmanifests import make_manifest

KEYVAL = make_manifest(
    "keyval",
    provides={"kv": {}},
    config={
        "path": {"type": "string", "default": "kv.db"},
        "token": {"type": "password", "required": True, "env": "KV_TOKEN"},
    },
)
NEEDED = (
    "plugins.keyval.options.token is required; set it in the config file or in the variable "
    "KV_TOKEN"
)
AUDIT = make_manifest("audit")


def config(text: str) -> ConfigFile:
    return parse_config(f"plugins:\n{text}".encode(), "c.yaml")


GOOD = config("  keyval: {options: {token: a}}")


def change(old: ConfigFile, new: ConfigFile, environ: dict[str, str] | None = None) -> list[str]:
    return faults_of_change(old, new, [KEYVAL, AUDIT], environ or {})


def test_what_it_means() -> None:
    """The plugin gets its options; faulty and missing ones are reported."""
    effect = effect_of(GOOD, KEYVAL, {})
    assert effect.options.values() == {"path": "kv.db", "token": "a"}
    assert effect.problems == ()
    assert effect_of(NO_CONFIG, KEYVAL, {}).problems == (NEEDED,)


def test_apps_that_are_not_there() -> None:
    """A name close to an app's is a typo, which would leave that app open; others, and patterns,
    may be for apps that come later."""
    text = """
apps:
  shpo: {visibility: protected}
  blog: {visibility: protected}
  invoices: {visibility: protected}
  sho*: {visibility: protected}
access:
  - {who: anyone, apps: [blogg, "blo*"], do: deny}
"""
    assert list(mistyped_apps(parse_config(text.encode(), "c.yaml"), ["shop", "blog"])) == [
        "c.yaml:3: apps: there is no app shpo in these folders; did you mean shop?",
        "c.yaml:8: access: there is no app blogg in these folders; did you mean blog?",
    ]


def test_a_slip_in_grants() -> None:
    """A grant for a service that the plugin does not offer is a fault."""
    slip = config("  keyval:\n    options: {token: a}\n    grants: {kvv: all}")
    assert effect_of(slip, KEYVAL, {}).problems == (
        "c.yaml:4: plugins.keyval.grants: keyval offers no service kvv; did you mean kv?",
    )


def test_a_file_with_a_fault_is_refused() -> None:
    """One fault about any plugin, and nothing of the new file takes effect."""
    assert change(GOOD, config("  keyval: {options: {token: b}}")) == []
    for wrong in (
        "  keyval: {options: {token: b, pth: x}}",
        "  keyval: {options: {token: 5}}",
        "  keyval: {options: {token: b}, grants: {kvv: all}}",
        "  keyval: {options: {token: b}}\n  audit: {options: {x: 1}}",
    ):
        assert len(change(GOOD, config(wrong))) == 1


def test_what_is_taken_away() -> None:
    """A file that removes what a plugin needs is refused, unless it was missing before."""
    assert change(GOOD, NO_CONFIG) == [NEEDED]
    assert change(GOOD, NO_CONFIG, {"KV_TOKEN": "t"}) == []
    assert change(NO_CONFIG, config("  audit: {enabled: false}")) == []
    assert change(NO_CONFIG, GOOD) == []


def test_plugins_that_are_not_there() -> None:
    """Unknown plugins are reported with their line and a suggestion; otherwise the file is fine."""
    config_ = config("  keyvla: {}\n  audit: {}")
    assert list(unknown_plugins(config_, ["keyval", "audit"])) == [
        "c.yaml:2: plugins: there is no plugin keyvla; did you mean keyval?"
    ]
    assert change(GOOD, config("  keyval: {options: {token: a}}\n  gone: {options: {a: 1}}")) == []


def test_what_has_changed() -> None:
    """A plugin has changed if its values differ between two files; lines do not count."""
    old = config("  a: {enabled: true}\n  b: {options: {x: 1}}\n  c: {grants: {k: all}}\n  d: {}")
    assert changed_plugins(old, config("# x\n  a: {enabled: true}\n\n  b: {options: {x: 1}}\n"
                                       "  c: {grants: {k: all}}")) == []  # fmt: skip
    new = config("  a: {enabled: false}\n  b: {options: {x: true}}\n  c: {grants: {k: []}}")
    assert changed_plugins(old, new) == ["a", "b", "c"]
    assert changed_plugins(NO_CONFIG, old) == ["a", "b", "c"]
