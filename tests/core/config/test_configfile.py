"""The config file: what it may contain, and that all of its faults are reported."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.config.configfile import SIZE_MAX_BYTES, ConfigFile, parse_config
from buntime.core.errors import ConfigError

PATH = "/etc/buntime/buntime.config.yaml"
TEXT = """
plugins:
  keyval:
    enabled: false
    options:
      path: kv.db
      more: {a: [1, {b: yes}]}
      token: hunter2
    grants:
      kv: ["app:shop", "plugin:*"]
      raw: all
  "@acme/audit":
"""


def parse(text: str | bytes) -> ConfigFile:
    return parse_config(text.encode() if isinstance(text, str) else text, PATH)


def faults(text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.faults


def test_what_it_says() -> None:
    """Each value comes with its line."""
    config = parse(TEXT)
    keyval = config.of("keyval")
    assert keyval.place == f"{PATH}:3"
    assert keyval.enabled == (False, f"{PATH}:4")
    assert {name: (each.value, each.place) for name, each in keyval.options.items()} == {
        "path": ("kv.db", f"{PATH}:6"),
        "more": ({"a": [1, {"b": True}]}, f"{PATH}:7"),
        "token": ("hunter2", f"{PATH}:8"),
    }
    assert config.grants == {"keyval": {"kv": ("app:shop", "plugin:*"), "raw": "all"}}
    assert keyval.grants["raw"].place == f"{PATH}:11"
    assert config.of("@acme/audit").enabled is None
    assert config.of("nobody").options == {}


@pytest.mark.parametrize("text", ["", "# nothing\n", "plugins:\n", "plugins: {}\n"])
def test_what_says_nothing(text: str) -> None:
    """An empty file is valid, and so is one without plugins."""
    assert parse(text).plugins == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "plugin: {}",
            "1: unknown key 'plugin'; did you mean plugins? (allowed are plugins, ap",
        ),
        ("\nedge: {}", "2: edge: this version has no such key yet; remove it"),
        ("keys: []", "1: keys: this version has no such key yet; remove it"),
        ("plugins: [kv]", "1: plugins: this is not a mapping of keys to values"),
        ("plugins:\n  kv: true", "2: plugins.kv: this is not a mapping"),
        ("plugins: {a b: {}}", "1: plugins: 'a b' is not the name of a plugin"),
        ("plugins: {../x: {}}", "1: plugins: '../x' is not the name of a plugin"),
        (
            "plugins:\n  kv:\n    enable: true",
            "3: plugins.kv: unknown key 'enable'; did you mean enabled? (allowed are enabled,",
        ),
        ("plugins: {kv: {path: x}}", "1: plugins.kv: unknown key 'path' (allowed are enabled, opt"),
        ("plugins: {kv: {enabled: 'no'}}", "1: plugins.kv.enabled: 'no' is neither true nor false"),
        ("plugins: {kv: {enabled: }}", "1: plugins.kv.enabled: nothing is neither true nor false"),
        ("plugins: {kv: {enabled: {a: 1}}}", "1: plugins.kv.enabled: a mapping is neither true no"),
        ("plugins: {kv: {options: []}}", "1: plugins.kv.options: this is not a"),
        ("plugins: {kv: {grants: all}}", "1: plugins.kv.grants: this is not a"),
        (
            "plugins: {kv: {grants: {kv: shop}}}",
            "1: plugins.kv.grants: kv: 'shop' is not a list of callers",
        ),
        (
            "plugins: {kv: {grants: {kv: [shop]}}}",
            "1: plugins.kv.grants: kv: 'shop' is not a caller",
        ),
        ("plugins: {kv: {grants: {kv: {to: all}}}}", "1: plugins.kv.grants: kv: a mapping is not"),
        ("plugins: {kv: {grants: {k v: all}}}", "1: plugins.kv.grants: 'k v' is not"),
        ("plugins: {kv: {}, kv: {}}", "1: kv is given twice, first on line 1"),
        ("plugins:\n  kv:\n    options: {a: 1, a: 2}", "3: a is given twice, first on line 3"),
        ("plugins: &x {kv: *x}", "1: anchors and aliases are not supported"),
        ("plugins: {kv: {options: {a: !x 1}}}", "1: tags are not supported"),
        ("plugins: {kv: {options: {a: [[[[[1]]]]]}}}", "1: nested too deeply"),
        ("plugins: {", "2: not valid YAML"),
        ("[" * 100_000, "1: nested too deeply"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    """A fault names the file, the line and the full key, and says what is meant or allowed."""
    [told] = faults(text)
    assert told.startswith(f"{PATH}:{fault}")


def test_all_faults_at_once() -> None:
    """All faults of a file are reported at once, in its order."""
    text = "plugins:\n  a: {enabled: 1, option: {}}\n  b: []\nplugin:\n"
    lines = [fault.removeprefix(f"{PATH}:").partition(":")[0] for fault in faults(text)]
    assert lines == ["2", "2", "3", "4"]
    with pytest.raises(ConfigError, match=r"\(and 3 more; buntime config check lists all\)$"):
        parse(text)


def test_bounds() -> None:
    """The size of a file and of its values is bounded."""
    assert "larger than 256 KiB" in faults(b"#" * (SIZE_MAX_BYTES + 1))[0]
    many = "plugins: {" + ", ".join(f"p{number}: " for number in range(1001)) + "}"
    assert "1001 plugins are too many" in faults(many)[0]


@pytest.mark.parametrize(
    "value",
    ["!hunter2", "hunter2: x", "[hunter2", "*hunter2", "&hunter2", "2024-99-99", "'hunter2"],
)
def test_no_value_is_told(value: str) -> None:
    """No message shows a value: one that YAML misreads may be a password without quotes."""
    for text in (f"plugins:\n  a:\n    options:\n      token: {value}\n", f"plugins: {value}\n"):
        told = " ".join(faults(text))
        assert "hunter2" not in told or "unknown key" in told
        assert "2024" not in told


def test_no_value_is_in_repr() -> None:
    """If the config is logged by accident, its repr shows no password."""
    assert "hunter2" not in repr(parse(TEXT))


YAML = st.text("plugins:kvenabledoptiongrants-[]{} \n'\"&*!#0", max_size=60)


@settings(deadline=None)
@given(YAML | st.binary(max_size=40))
def test_garbage(data: str | bytes) -> None:
    """Any bytes are a config file or a ConfigError with single-line faults."""
    told: tuple[str, ...] = (PATH,)
    try:
        parse(data)
    except ConfigError as exc:
        told = exc.faults
    assert told
    assert all(fault.startswith(PATH) and fault.isprintable() for fault in told)


APPS = """
apps:
  "blog-*":
    user: "1000:1000"
    sandbox: off
    hosts: ["*.blog.example.com"]
    secrets: {DATABASE_URL: , STRIPE_KEY: {env: false}}
    env: {MODE: fast}
    maxMemory: 64mb
  shop: {workers: 4}
"""


def test_what_it_says_of_apps() -> None:
    """Rows keep their order, and each value is as a manifest would have it, with its line."""
    blog, shop = parse(APPS).apps.rows
    assert (blog.glob, shop.glob) == ("blog-*", "shop")
    assert {name: word.value for name, word in blog.words.items()} == {
        "user": "1000:1000",
        "sandbox": "off",
        "hosts": ("*.blog.example.com",),
        "secrets": {"DATABASE_URL": True, "STRIPE_KEY": False},
        "env": {"MODE": "fast"},
        "maxMemory": 64 << 20,
    }
    assert shop.words["workers"] == (4, f"{PATH}:10")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sandbx: strict", "unknown key 'sandbx'; did you mean sandbox?"),
        ("entrypoint: x.py", "unknown key 'entrypoint'"),
        ("sandbox: lax", "apps.shop.sandbox: 'lax' is not one of"),
        ("workers: 0", "apps.shop.workers: 0 is not allowed"),
        ("hosts: localhost", "apps.shop.hosts: 'localhost' is not a list"),
        ("env: {A: [hunter2]}", "apps.shop.env: write a mapping of names to texts"),
        ("env: {A: 12345}", "apps.shop.env: write a mapping of names to texts"),
        ("env: {PGPASSWORD: hunter2}", "apps.shop.env: PGPASSWORD: this looks like credentials"),
        ("env: {URL: 'x://u:hunter2@h'}", "apps.shop.env: URL: this looks like credentials"),
    ],
)
def test_faults_of_rows(line: str, words: str) -> None:
    """Each fault is reported with its place, and with nothing that could be a password."""
    [fault] = faults(f"apps:\n  shop:\n    {line}\n")
    assert words in fault
    assert "hunter2" not in fault
    assert "12345" not in fault


def test_a_row_for_nobody() -> None:
    """A row whose name cannot be an app's is a fault."""
    [fault] = faults("apps: {'a b': {nice: 3}}")
    assert "apps: 'a b' is not an app" in fault
