"""A plugin's manifest: an app's keys and its own, and which do not go together."""

import json
import math
from dataclasses import FrozenInstanceError, fields

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime.core.apps.manifestkeys import KEYS as APP_KEYS
from buntime.core.apps.router import RESERVED
from buntime.core.errors import ManifestError
from buntime.core.plugins.dependencies import Dependency
from buntime.core.plugins.manifest import (
    ALL_KEYS,
    ENDLESS_REQUESTS,
    PLUGIN_KEYS,
    PluginManifest,
    parse_plugin_manifest,
    to_plugin_config,
)
from buntime.core.plugins.match import Match

MB = 1 << 20


def parse_all(text: str) -> tuple[PluginManifest, tuple[str, ...]]:
    path = "plugins/audit/buntime.yaml"
    return parse_plugin_manifest(text.encode(), path=path, body_default=10 * MB, body_max=100 * MB)


def parse(text: str) -> PluginManifest:
    return parse_all(text)[0]


def fault(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        parse(text)
    return str(caught.value)


def test_the_defaults() -> None:
    """A name is enough: hooks in plugin.py, asked last, for all requests."""
    manifest, warnings = parse_all("name: audit")
    assert warnings == ()
    assert (manifest.name, manifest.version, manifest.enabled) == ("audit", "0.0.0", True)
    assert (manifest.base, manifest.page, manifest.entry_file) == (None, None, "plugin.py")
    assert (manifest.stage, manifest.order, manifest.on_error) == ("content", 0, "refuse")
    assert (manifest.hook_timeout_s, manifest.body, manifest.overlap) == (1.0, False, True)
    assert manifest.match == Match()
    assert manifest.start is None
    assert not manifest.guards


def test_its_process_stays() -> None:
    """By default a plugin's process lives without end, and its pages need a key."""
    app = parse("name: audit").app
    assert app.ttl_s == app.idle_timeout_s == math.inf
    assert app.max_requests == ENDLESS_REQUESTS
    assert (app.visibility, app.workers) == ("protected", 1)


def test_a_lifetime_may_be_given() -> None:
    """With a ttl its process is replaced; the idle time cannot be longer."""
    app = parse("name: audit\nttl: 1h\nmaxRequests: 50\nvisibility: public").app
    assert (app.ttl_s, app.idle_timeout_s, app.max_requests) == (3600, 3600, 50)
    assert app.visibility == "public"


def test_all_keys() -> None:
    """Each key sets its field."""
    manifest = parse("""
        name: "@acme/audit"
        version: 1.2.0
        enabled: false
        base: /audit
        entrypoint: web/index.html
        pluginEntry: src/hooks.py
        routes: ["/api/**"]
        dependencies: [keyval]
        optionalDependencies: {mail: 1.10, log: }
        provides: {audit: {to: all}, lookup: {to: ["app:shop", "plugin:*"]}, quiet: }
        uses: [kv]
        match: {apps: [shop, "blog-*"], paths: ["/admin/**"], methods: [get], hosts: [A.example],
                public: true}
        stage: access
        order: -1.5
        hookTimeout: 250ms
        onError: refuse
        body: true
        menus:
          - {title: {en: Audit, de: Prüfung}, icon: i/a.svg, path: /log, order: 2,
             items: [{title: Old, path: /log/old}]}
          - {title: First, path: /, order: 1}
        start: eager
        overlap: false
        cookies: [audit]
        config: {days: {type: number, default: 30}}
        timeout: 5
    """)
    assert (manifest.name, manifest.version, manifest.enabled) == ("@acme/audit", "1.2.0", False)
    assert (manifest.base, manifest.page) == ("/audit", "web/index.html")
    assert (manifest.entry_file, manifest.routes) == ("src/hooks.py", ("/api/**",))
    assert manifest.dependencies == (Dependency("keyval"),)
    assert manifest.optional_dependencies == (Dependency("mail", "1.10"), Dependency("log"))
    assert manifest.provides == (
        ("audit", "all"),
        ("lookup", ("app:shop", "plugin:*")),
        ("quiet", ()),
    )
    assert manifest.uses == ("kv",)
    assert manifest.match == Match(
        ("shop", "blog-*"), ("/admin/**",), ("GET",), ("a.example",), public=True
    )
    assert (manifest.stage, manifest.order, manifest.hook_timeout_s) == ("access", -1.5, 0.25)
    assert [menu.title for menu in manifest.menus] == [
        {"": "First"},
        {"en": "Audit", "de": "Prüfung"},
    ]
    assert manifest.menus[1].items[0].path == "/log/old"
    assert (manifest.start, manifest.overlap, manifest.cookies) == ("eager", False, ("audit",))
    assert manifest.config["days"].default == 30
    assert manifest.app.timeout_s == 5
    assert manifest.guards


def test_every_field_has_a_key() -> None:
    """The table covers each field of a manifest once, and none is an app's too."""
    own = {field.name for field in fields(PluginManifest)} - {"app"}
    assert sorted(key.field for key in PLUGIN_KEYS) == sorted(own)
    names = [key.name for key in ALL_KEYS]
    assert len(set(names)) == len(names) == len(APP_KEYS) + len(PLUGIN_KEYS)


@pytest.mark.parametrize("key", PLUGIN_KEYS, ids=lambda key: key.name)
def test_default_written_out(key: object) -> None:
    """A key's default, written into the file, changes nothing."""
    name, default = key.name, key.default  # type: ignore[attr-defined]  # a Key
    if name != "name":
        assert parse(yaml.safe_dump({"name": "audit", name: default})) == parse("name: audit")


def test_a_list_is_enough_for_services() -> None:
    """Services listed without callers are open to none by default."""
    assert parse("name: a\nprovides: [kv, mail]").provides == (("kv", ()), ("mail", ()))


def test_it_cannot_be_changed() -> None:
    """A manifest is immutable, so it can be shared and used as a key."""
    manifest = parse("name: a")
    with pytest.raises(FrozenInstanceError):
        manifest.name = "b"  # type: ignore[misc]  # what is tested
    assert {manifest: 1}[parse("name: a")] == 1


def test_config_is_json() -> None:
    """What a plugin's process and the API see has no infinity and no secrets of `env`."""
    manifest = parse("name: a\nenv: {A: b, my_token: hidden}\nprovides: {kv: {to: all}}")
    config = json.loads(json.dumps(to_plugin_config(manifest), allow_nan=False))
    assert config["ttl"] is config["idleTimeout"] is config["maxRequests"] is None
    assert config["env"] == {"A": "b"}
    assert config["provides"] == {"kv": {"to": "all"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name is missing; write a line like name: audit"),
        ("name: ''", "'' is not a name; write one like keyval or @acme/audit"),
        ("name: .git", "'.git' is not a name"),
        ("name: [a]", "a list is not a name"),
        ("name: a\ndependancies: []", "unknown key 'dependancies'; did you mean dependencies?"),
        ("name: a\nhookTimout: 1", "unknown key 'hookTimout'; did you mean hookTimeout?"),
        ("name: a\ntimeot: 1", "unknown key 'timeot'; did you mean timeout?"),
        ("name: a\nversion: 1.10", "version: '1.10' is not a version; write three numbers"),
        ("name: a\nversion: latest", "version: 'latest' is not a version"),
        ("name: a\nenabled: 'no'", "enabled: 'no' is neither true nor false"),
        ("name: a\nbase: audit", "base: 'audit' is not a base; write one segment like /audit"),
        ("name: a\nbase: /", "base: '/' is not a base"),
        ("name: a\nbase: ''", "base: '' is not a base"),
        ("name: a\nbase: /a/b", "base: '/a/b' is not a base"),
        ("name: a\nbase: /@a/b", "base: '/@a/b' is not a base"),
        ("name: a\nbase: /..", "base: '/..' is not a base"),
        ("name: a\nbase: /api", "base: '/api' is the runtime's own path; choose another one"),
        ("name: a\nbase: /Health", "base: '/Health' is the runtime's own path"),
        ("name: a\npluginEntry: x.html", "pluginEntry: 'x.html' is not Python"),
        ("name: a\npluginEntry: ../x.py", "pluginEntry: '../x.py' is not a file in the app's"),
        (
            "name: a\nbase: /a\nentrypoint: app.py",
            "entrypoint 'app.py' is not a page (.html); code",
        ),
        ("name: a\nbase: /a\nroutes: ['/x']", "routes: without a page (entrypoint: index.html)"),
        ("name: a\nbase: /a\nroutes: {GET: ['/x']}", "routes: a mapping is not a list"),
        ("name: a\nentrypoint: index.html", "entrypoint: the plugin has no base to serve it"),
        ("name: '@x/a'\nmenus: [{title: A, path: /}]", "menus: the plugin has no base to serve"),
        ("name: a\npublicRoutes: [/x]", "publicRoutes: the plugin has no base"),
        ("name: a\ndependencies: keyval", "dependencies: 'keyval' is not a list; write one like"),
        ("name: a\ndependencies: [a/b]", "dependencies: 'a/b' is not a name"),
        ("name: a\ndependencies: {b: soon}", "dependencies: b: 'soon' is not a range of versions"),
        ("name: a\ndependencies: {b: latest}", "dependencies: b: 'latest' is not a range"),
        ("name: a\ndependencies: [a]", "dependencies: a is this plugin itself; remove it"),
        (
            "name: a\ndependencies: [b]\noptionalDependencies: [b]",
            "optionalDependencies: b is in dependencies too; remove one",
        ),
        ("name: a\nprovides: kv", "provides: 'kv' is not a mapping; write one like {kv: {to: all}"),
        ("name: a\nprovides: [[kv]]", "provides: a list is not a service"),
        ("name: a\nprovides: {kv: all}", "provides: kv: 'all' is not a mapping; write one like"),
        ("name: a\nprovides: {kv: {ot: all}}", "provides: kv: unknown key 'ot'"),
        ("name: a\nprovides: {kv: {to: some}}", "provides: kv: 'some' is not a list of callers"),
        ("name: a\nprovides: {kv: {to: [shop]}}", "provides: kv: 'shop' is not a caller; write"),
        ("name: a\nprovides: {kv: {to: ['app:..']}}", "provides: kv: 'app:..' is not a caller"),
        ("name: a\nprovides: [kv]\nuses: [kv]", "uses: kv is offered by this plugin; remove it"),
        ("name: a\nmatch: [shop]", "match: a list is not a mapping; write one like {apps: [shop]}"),
        ("name: a\nmatch: {app: [x]}", "match: unknown key 'app'; did you mean apps?"),
        (
            "name: a\nmatch: {apps: shop}",
            "match: apps: 'shop' is not a list with at least one entry",
        ),
        ("name: a\nmatch: {apps: []}", "match: apps: a list is not a list with at least one entry"),
        ("name: a\nmatch: {apps: [/x]}", "match: apps: '/x' is not the name of an app"),
        ("name: a\nmatch: {paths: [x]}", "match: paths: 'x' is not a path"),
        ("name: a\nmatch: {paths: ['/a%2f']}", "match: paths: '/a%2f' has a character that no"),
        ("name: a\nmatch: {methods: ['G T']}", "match: methods: 'G T' is not a method"),
        ("name: a\nmatch: {hosts: ['a:80']}", "match: hosts: 'a:80' is not a host; write one like"),
        ("name: a\nmatch: {hosts: ['*']}", "match: hosts: '*' is not a host"),
        ("name: a\nmatch: {public: 1}", "match: public: 1 is neither true nor false"),
        (
            "name: a\nmatch: {public: true}",
            "match.public: hooks of all stages but access are called for",
        ),
        ("name: a\nstage: route\nmatch: {apps: [b]}", "match.apps: in stage route no app is known"),
        ("name: a\nstage: edge", "stage: 'edge' is not one of route, identity, access or content"),
        ("name: a\norder: first", "order: 'first' is not a place; write a number"),
        ("name: a\norder: .inf", "order: inf is not a place"),
        ("name: a\norder: .nan", "order: nan is not a place"),
        (f"name: a\norder: {10**400}", "order: a huge number is not a place"),
        ("name: a\nhookTimeout: 0", "hookTimeout: 0 is too short"),
        ("name: a\nonError: open", "onError: 'open' is not one of refuse or ignore"),
        ("name: a\nstage: access\nonError: ignore", "onError ignore: a hook of stage access that"),
        ("name: a\nstage: identity\nonError: ignore", "onError ignore: a hook of stage identity"),
        ("name: a\nstage: access\nstart: lazy", "start lazy: a plugin of stage access closes what"),
        ("name: a\nttl: 0", "ttl 0: a plugin's process stays; remove ttl or raise it"),
        ("name: a\nttl: 10", "ttl 10s is shorter than timeout 30s (the default); raise ttl"),
        ("name: a\nworkers: 2", "workers 2: a plugin has one process; remove workers"),
        ("name: a\nworkers: auto", "workers auto: a plugin has one process; remove workers"),
        ("name: a\nhosts: [a.example]", "hosts: a plugin answers below its base; remove hosts"),
        ("name: a\nprocesses: {a: b}", "processes: a plugin has one process; remove processes"),
        (
            "name: a\ncron: [{schedule: '@daily', run: x}]",
            "cron: only apps have jobs; write an app",
        ),
        ("name: a\nprewarm: 1", "prewarm: a plugin has one process; remove prewarm"),
        ("name: a\naffinity: cookie", "affinity: a plugin has one process; remove affinity"),
        ("name: a\ncookies: a", "cookies: 'a' is not a list; write one like [session]"),
        ("name: a\ncookies: ['a=b']", "cookies: 'a=b' is not the name of a cookie"),
        ("name: a\nbase: /a\nmenus: [{path: /}]", "menus: title is missing; a menu entry needs"),
        ("name: a\nbase: /a\nmenus: [{title: A, path: /, icon: a.png}]", "menus: 'a.png' is not"),
        ("name: a\nbase: /a\nmenus: [{title: {}, path: /}]", "menus: title has no language"),
        ("name: a\nconfig: {x: }", "config: x: nothing is not a mapping"),
        ("name: a\nconfig: {x: {type: text}}", "config: x: type: 'text' is not one of string, num"),
    ],
)
def test_faults(text: str, message: str) -> None:
    """An error names the file, the key, the value, and what to do."""
    said = fault(text)
    assert said.startswith("plugins/audit/buntime.yaml:")
    assert message in said
    assert said.isprintable()


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_base_takes_the_runtimes_paths(name: str) -> None:
    """A plugin's base cannot be a path of the runtime."""
    assert "base: " in fault(f"name: a\nbase: /{name}")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["to", "type", "apps", "title", "kv"]), each, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([key.name for key in ALL_KEYS]), VALUES, max_size=4))
def test_any_values(document: dict[str, object]) -> None:
    """Any values give a manifest that can be sent, or a one-line printable ManifestError."""
    text = yaml.safe_dump({"name": "a", **document}, allow_unicode=True)
    try:
        manifest = parse(text)
    except ManifestError as exc:
        line = str(exc)
    else:
        line = json.dumps(to_plugin_config(manifest), allow_nan=False)
        assert hash(manifest) == hash(parse(text))
    assert line.isprintable()
