"""Problems that the parts of a runtime know of are gathered and shown to those they concern."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.access.rights import Caller, admin
from buntime.core.admin.attention import ITEMS_MAX
from buntime.core.admin.diagnosisroutes import DIAGNOSIS
from buntime.core.apps.datause import DataUse, Measured
from buntime.core.errors import ClientFault
from buntime.core.schedule.keeper import FailingProcess, ProcessKey
from buntime.core.schedule.planner import Ended, JobKey
from buntime.core.telemetry.autopsies import Autopsies, Autopsy
from buntime.core.telemetry.meters import Cause
from buntime.core.telemetry.pluginmeters import WINDOW_S, Failure, PluginMeters
from buntime.server.admin.attention import Attention, AttentionPages
from tests.support.calls import call_of
from tests.support.exchanges import FakeExchange, FakeService

NOON = 1772368496.0
ADMIN = admin("master", "master")
SHOPKEEPER = Caller("laptop", "key", frozenset(("apps:read",)), ("shop*",))


def deploy(app: str, state: str, at_s: float) -> dict[str, Any]:
    at = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    error = {"code": "app_boot_failed", "message": "KeyError: 1"}
    told = {"app": app, "version": "2.0.0", "kind": "deploy", "state": state, "at": at}
    return told | ({"failed": "booted", "error": error} if state == "failed" else {})


class Site:
    """A runtime in which nothing is wrong until a test says so."""

    def __init__(self, folder: Path) -> None:
        self.service = FakeService()
        cast(Any, self.service.loop).slow_turns = []
        self.apps: list[dict[str, Any]] = []
        self.faults: dict[str, list[str]] = {}
        self.deploys: list[dict[str, Any]] = []
        self.jobs: list[Any] = []
        self.failing: list[FailingProcess] = []
        self.autopsies = Autopsies()
        self.hour: dict[str, tuple[int, int]] = {}
        self.finds = 0
        self.newest: dict[str, str] = {}  # the versions that serve
        self.data = DataUse()
        closed: dict[str, Any] = {}
        self.parts = SimpleNamespace(
            service=self.service,
            pool=SimpleNamespace(
                report=SimpleNamespace(apps=lambda now: self.apps),
                stats=SimpleNamespace(autopsies=self.autopsies),
            ),
            app_faults=lambda: self.faults,
            chronicle=SimpleNamespace(lately=lambda points: self.hour),
            deploys=SimpleNamespace(history=SimpleNamespace(latest=lambda: self.deploys)),
            unasked=SimpleNamespace(
                cron=SimpleNamespace(seen=lambda: self.jobs), failing=lambda: self.failing
            ),
            maintenance=SimpleNamespace(closed=closed),
            data_meter=SimpleNamespace(use=self.data),
            db=SimpleNamespace(trouble="", is_off=False),
            plugins=SimpleNamespace(
                plan=SimpleNamespace(closed="", hooks=()),
                roster=SimpleNamespace(found={}),
                meters=PluginMeters(),
                config_log=SimpleNamespace(rejected=()),
            ),
            catalog=SimpleNamespace(
                find=self._find,
                newest=lambda name, now: self.newest.get(name),
                versions_of=lambda name, now: (),
            ),
            secrets=SimpleNamespace(missing=lambda app: {"B": "", "A": ""}),
            live=SimpleNamespace(
                rejected="", now=SimpleNamespace(state_dir=str(folder), worker_dirs=[folder])
            ),
        )
        self.pages = AttentionPages(
            cast(Any, self.parts), Attention(cast(Any, self.parts), clock=lambda: NOON)
        )

    def _find(self, name: str, spec: str | None, now: float) -> str:
        self.finds += 1
        if name == "gone":
            raise ClientFault(404, "app_not_found", "gone")
        return name

    def codes(self, caller: Caller = ADMIN) -> list[tuple[str, str | None]]:
        exchange = FakeExchange("/api/attention", service=self.service)
        self.pages.handlers()["attention.list"](call_of(exchange, DIAGNOSIS[0], caller))
        items = exchange.json["items"]
        return [(each["code"], each["app"]) for each in items if each["code"] != "disk_full"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def broken(name: str, error: str = "KeyError", failures: int = 1) -> dict[str, Any]:
    return {"app": name, "version": None, "bootFailures": failures, "bootError": error}


def test_all_is_well(site: Site) -> None:
    """Apps that load, deploys that succeeded, and jobs that ended well need no attention."""
    site.apps = [broken("shop", "", 0)]
    site.deploys = [deploy("shop", "done", NOON), deploy("shop", "failed", NOON)]
    ended = Ended(NOON, 1.0, "ok", "200")
    missed = ended._replace(result="missed")
    site.jobs = [SimpleNamespace(key=JobKey("shop", "tidy"), ended=(missed, ended))]
    site.hour = {"shop": (1000, 3)}
    assert site.codes() == []


def test_a_version_that_another_one_has_taken_the_place_of(site: Site) -> None:
    """A replaced version that goes on failing is not reported, even if its folder is still there:
    the new deploy has fixed the app."""
    site.apps = [broken("shop"), {**broken("blog"), "version": "1.0.0"}, broken("site")]
    site.newest = {"shop": "1.0.1", "blog": "1.0.0"}
    assert site.codes() == [("app_boot_failed", "blog"), ("app_boot_failed", "site")]


def test_apps(site: Site) -> None:
    """Each fault is reported once, by its root cause; plugins' workers are not reported as apps."""
    secrets = "buntime.yaml: secrets: the secrets A, B are not set"
    site.apps = [
        broken("shop", secrets),
        broken("blog"),
        broken("gone", secrets),
        broken("loop", "x", 5),
    ]
    site.apps.append(broken("plugin:audit"))
    for cause, count in ((Cause.SIGNAL, 3), (Cause.IDLE, 9)):
        for number in range(count):
            for app in ("blog", "chat@1.0.0", "plugin:audit"):
                worker = f"{cause}{number}"
                autopsy = Autopsy(worker, 1, NOON - 60, cause, "killed", 1.0, 0, 0, "")
                site.autopsies.note(app, autopsy)
    site.hour = {"chat": (10, 10), "busy": (100, 50), "plugin:audit": (9, 9)}
    assert site.codes() == [
        ("app_boot_failed", "blog"),
        ("app_boot_failed", "gone"),
        ("app_crash_loop", "loop"),
        ("secrets_missing", "shop"),
        ("requests_fail", "busy"),
        ("workers_fail", "chat"),
    ]


def test_work(site: Site) -> None:
    """The last failed deploy of an app is reported for a day, and the last failed run of a job."""
    site.deploys = [deploy("shop", "failed", NOON - 60), deploy("shop", "done", NOON - 99)]
    site.deploys.append(deploy("blog", "failed", NOON - 90_000))
    ended = Ended(NOON, 1.0, "failed", "exit code 1")
    site.jobs = [SimpleNamespace(key=JobKey("shop", "tidy"), ended=(ended,))]
    site.parts.maintenance.closed["chat"] = SimpleNamespace(message="soon")
    site.failing = [FailingProcess(ProcessKey("shop", "mail"), 3, "exit code 2")]
    expected = [
        ("process_fails", "shop"), ("deploy_failed", "shop"), ("job_failed", "shop"),
        ("maintenance", "chat"),
    ]  # fmt: skip
    assert site.codes() == expected
    assert site.codes(SHOPKEEPER) == expected[:3]


def test_what_was_rejected(site: Site) -> None:
    """Settings and a config file that were changed and cannot be used are reported until they can:
    the runtime goes on with the old ones."""
    site.parts.live.rejected = "PORT: 'x' is not allowed"
    site.parts.plugins.config_log.rejected = ("/c.yaml:2: no", "/c.yaml:3: no")
    assert site.codes() == [("config_rejected", None), ("settings_rejected", None)]
    assert site.codes(SHOPKEEPER) == []


def test_data(site: Site) -> None:
    """Data near or above their `dataMax` are reported; an app's data only to those who may see the
    app."""
    site.data.take([Measured("shop", 90, 100), Measured("plugin+kv", 300, 100)], 0.0)
    assert site.codes() == [("data_over", None), ("data_filling", "shop")]
    assert site.codes(SHOPKEEPER) == [("data_filling", "shop")]


def test_runtime(site: Site) -> None:
    """What belongs to no app is reported only to those who may see everything."""
    site.parts.db.trouble = "/var/lib: no space left"
    site.parts.plugins.plan.closed = "audit cannot be read"
    cast(Any, site.service.loop).slow_turns = [(site.service.loop.now - 5, 2.0), (0.0, 9.0)]
    expected = [("all_closed", None), ("state_unavailable", None), ("slow_turns", None)]
    assert site.codes() == expected
    assert site.codes(SHOPKEEPER) == []
    reader = Caller("all", "key", frozenset(("apps:read",)), ("*",))
    assert site.codes(reader) == expected[1:]  # plugins are for their readers


def with_plugins(site: Site, *names: str) -> None:
    """Of those in `names`, "gone" does not run, "off" is disabled, and the others serve."""
    serving = SimpleNamespace(has_served=True, worker=object(), failure="")
    gone = SimpleNamespace(has_served=False, failure="x")
    site.parts.plugins.roster = SimpleNamespace(
        found={name: SimpleNamespace(error="", manifest=None) for name in names},
        lives={name: gone if name == "gone" else serving for name in names},
        order=SimpleNamespace(left_out={}),
        is_enabled=lambda name: name != "off",
        serves_with=lambda name: SimpleNamespace(manifest=None),
    )


def test_processes_of_plugins(site: Site) -> None:
    """Each death of a plugin's process is reported for ten minutes to those who may see plugins,
    unless the plugin does not run at all, or is disabled; an end that was planned is none, nor is a
    new state of its code that does not load."""
    names = ("audit", "gone", "off")
    with_plugins(site, *names)
    for number, (age_s, cause) in enumerate(
        [
            (60, Cause.SIGNAL),
            (90, Cause.PROTOCOL),
            (700, Cause.SIGNAL),
            (30, Cause.IDLE),
            (20, Cause.BOOT),
        ]
    ):
        for name in names:
            autopsy = Autopsy(f"w{number}", 1, NOON - age_s, cause, f"no {number}", 1.0, 0, 0, "")
            site.autopsies.note(f"plugin:{name}", autopsy)
    assert site.codes() == [("plugin_dies", None), ("plugin_down", None)]
    assert site.codes(Caller("all", "key", frozenset(("apps:read",)), ("*",))) == []
    found = {each.code: each.text for each in site.pages._attention.items()}
    assert found["plugin_dies"] == (
        "The process of the plugin audit has failed 2 times in the last ten minutes, the last one: "
        "no 0"
    )


def test_hooks_of_plugins(site: Site) -> None:
    """A failing hook is reported to those who may see plugins, until it has stopped; not beside the
    report that the plugin does not run, and not if it is disabled."""
    plugins, now = site.parts.plugins, site.service.loop.now
    names = ("audit", "gone", "off")
    with_plugins(site, *names)
    for name in names:
        plugins.meters.of(name).hook("on_request").on_failure(Failure.AWAY, "away", now)
    assert site.codes() == [("plugin_down", None), ("plugin_hook_fails", None)]
    assert site.codes(Caller("all", "key", frozenset(("apps:read",)), ("*",))) == []
    cast(Any, site.service.loop).now = now + WINDOW_S
    assert site.codes() == [("plugin_down", None)]


def test_three_thousand_broken_apps(site: Site) -> None:
    """The number of reported problems is bounded, and no more than that are examined."""
    secrets = "buntime.yaml: secrets: the secret A is not set"
    site.apps = [broken(f"app{number}", secrets) for number in range(3000)]
    site.faults = {f"faulty{number}": ["x" * 100_000] for number in range(3000)}
    assert len(site.codes()) == ITEMS_MAX
    assert site.finds <= ITEMS_MAX
