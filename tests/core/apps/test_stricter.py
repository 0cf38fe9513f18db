"""Which parts of a changed manifest apply at once, while the old code still serves."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.cronkeys import cron_jobs
from buntime.core.apps.manifest import KEYS
from buntime.core.apps.stricter import KEYS_ABOUT_ACCESS, KEYS_ABOUT_CODE, tightened
from buntime.core.schedule.jobs import AppProcess
from tests.support.apps import make_app

# For each key, a value other than the default, as its field stores it.
OTHERS: dict[str, Any] = {
    "entrypoint": "other.py",
    "timeout": 7.0,
    "ttl": 90.0,
    "idleTimeout": 80.0,
    "maxRequests": 5,
    "lowMemory": True,
    "autoInstall": True,
    "env": {"A": "b"},
    "secrets": {"KEY": True},
    "workers": 3,
    "concurrency": 4,
    "prewarm": 2,
    "maxMemory": 1 << 30,
    "maxAddressSpace": 1 << 30,
    "maxFileSize": 1 << 20,
    "maxProcesses": 9,
    "memoryMax": 1 << 30,
    "cpuMax": 0.5,
    "pidsMax": 99,
    "python": "3.12",
    "path": ("src",),
    "nice": 3,
    "user": "nobody",
    "sandbox": "off",
    "write": ("uploads",),
    "data": True,
    "dataMax": 1 << 30,
    "injectBase": True,
    "stripBase": True,
    "watch": ("rates.json",),
    "spa": False,
    "keep": True,
    "cron": cron_jobs([{"schedule": "0 3 * * *", "path": "/clean"}]),
    "processes": (AppProcess("worker", ("celery",)),),
    "headers": (("/**", (("x-frame-options", "DENY"),)),),
    "static": (("/static", "staticfiles"),),
    "shell": True,
    "release": ("python", "migrate.py"),
    "check": "/healthz",
    "replace": "after",
    "keepVersions": 9,
    "affinity": "cookie",
    "affinityMax": 60.0,
}


def routes(*paths: str) -> tuple[tuple[str, str], ...]:
    return tuple(("ALL", path) for path in paths)


def protected(*paths: str, **manifest: object) -> App:
    return make_app(visibility="protected", public_routes=routes(*paths), **manifest)


def test_each_key_is_about_access_or_about_code() -> None:
    """Each key has a place in the table: it applies at once, or with the code."""
    assert KEYS_ABOUT_ACCESS.keys() | KEYS_ABOUT_CODE == {key.name for key in KEYS}
    assert KEYS_ABOUT_ACCESS.keys() & KEYS_ABOUT_CODE == set()
    assert OTHERS.keys() == KEYS_ABOUT_CODE


@pytest.mark.parametrize("name", OTHERS)
def test_keys_about_code(name: str) -> None:
    """A key about code waits for the new code: the app stays the same object."""
    served = make_app()
    (field,) = (key.field for key in KEYS if key.name == name)
    assert tightened(served, make_app(**{field: OTHERS[name]})) is served


@pytest.mark.parametrize(
    ("field", "strict", "free"),
    [
        ("visibility", "protected", "public"),
        ("visibility", "internal", "public"),
        ("visibility", "internal", "protected"),
        ("max_body_size_bytes", 10, 11),
        ("cookie_path", "base", "as-is"),
        ("uses", ("kv",), ("mail", "kv")),
        ("uses", (), ("kv",)),
        ("hosts", ("a.example",), ("*.example", "a.example")),
        ("hosts", (), ("a.example",)),
    ],
)
def test_the_stricter_of_two(field: str, strict: object, free: object) -> None:
    """What restricts access applies at once; what opens it waits for the code it was written
    for."""
    served = make_app(**{field: free})
    made = tightened(served, make_app(**{field: strict}))
    assert getattr(made.manifest, field) == strict
    assert made.code is served
    assert made.key == served.key
    kept = make_app(**{field: strict})
    assert tightened(kept, make_app(**{field: free})) is kept


def test_a_route_that_is_public_no_more() -> None:
    """Of two manifests, only what both make public is public."""
    made = tightened(protected("/a", "/b"), protected("/b", "/c"))
    assert [path for path in ("/a", "/b", "/c") if made.public_routes.cover("GET", path)] == ["/b"]


def test_public_routes_of_an_app_that_was_public() -> None:
    """If the whole app was public, the newer public routes apply."""
    made = tightened(make_app(public_routes=routes("/a")), protected("/b"))
    assert [path for path in ("/a", "/b") if made.public_routes.cover("GET", path)] == ["/b"]


def test_an_app_that_becomes_public() -> None:
    """An app becomes public only once its new code has loaded: the old code expects protection."""
    served = protected("/a")
    assert tightened(served, make_app(public_routes=routes("/b"))) is served


def test_the_code_serves_as_it_was() -> None:
    """Everything but access comes from the app that serves."""
    served = make_app(version="1.0.0", ttl_s=60.0, timeout_s=5.0)
    made = tightened(served, protected(ttl_s=90.0, entrypoint="other.py"))
    assert (made.manifest.ttl_s, made.entrypoint, made.version) == (60.0, "app.py", "1.0.0")


def test_what_a_change_keeps_for_jobs_is_closed_at_once() -> None:
    """A path that either the old or the new manifest reserves for jobs is closed meanwhile."""
    job = {"schedule": "0 3 * * *", "cronOnly": True}
    served = make_app(cron=cron_jobs([{**job, "path": "/old"}]))
    newer = make_app(cron=cron_jobs([{**job, "path": "/new/?all=1"}]))
    both = tightened(served, newer)
    assert both.closed_paths == {"/old", "/new"}
    assert both.code is served
    assert both.manifest == served.manifest
    assert tightened(both, newer) is both
