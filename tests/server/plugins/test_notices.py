"""Plugins are told what happens, each as fast as it reads."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from buntime.core.plugins.code import NOTICES, Code
from buntime.core.plugins.outbox import BYTES_MAX, NOTICES_MAX
from buntime.core.telemetry.pluginmeters import PluginMeter, PluginMeters
from buntime.server.plugins.mailbox import Mailbox
from buntime.server.plugins.notices import Notices
from tests.support.apps import make_app
from tests.support.farend import FarEnd
from tests.support.pluginmanifests import make_manifest


@pytest.fixture
def far() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()
    assert end.errors == []


ROSTER: Any = SimpleNamespace(found={}, lives={})


def joined(far: FarEnd, *hooks: str, **manifest: Any) -> Notices:
    """Notices for the plugin "audit" with these functions."""
    notices = Notices(far.loop, ROSTER, PluginMeters())
    found = SimpleNamespace(name="audit", manifest=make_manifest("audit", **manifest))
    generation = SimpleNamespace(found=found, code=Code(frozenset(hooks)))
    notices.join(cast(Any, generation), far.worker)
    return notices


def told(far: FarEnd) -> list[tuple[str, Any]]:
    return [(each["notice"], each["data"]) for _, each, _ in far.hear()]


def deployed(**manifest: Any) -> Any:
    return SimpleNamespace(app=make_app(**manifest))


WORKER: Any = SimpleNamespace(name="w9", process=SimpleNamespace(pid=77))


def test_workers(far: FarEnd) -> None:
    """The plugin is told of workers' starts and ends, in order."""
    notices = joined(far, *NOTICES[:2])
    notices.on_spawn(deployed(ttl_s=60), WORKER)
    notices.on_terminate(deployed(ttl_s=60), WORKER, "exit code 3", expected=False)
    (spawn, started), (terminate, ended) = told(far)
    assert (spawn, terminate) == ("on_worker_spawn", "on_worker_terminate")
    assert (started["app"], started["worker"], started["pid"]) == ("shop", "w9", 77)
    assert ended == {**started, "how": "exit code 3", "expected": False}


def test_what_it_has_no_function_for(far: FarEnd) -> None:
    """The plugin is not told of events that it has no function for."""
    notices = joined(far, "on_worker_terminate", "on_request")
    notices.on_spawn(deployed(ttl_s=60), WORKER)
    notices.on_plugins()
    assert told(far) == []


@pytest.mark.parametrize(("match", "count"), [({}, 0), ({"workers": "all"}, 1)])
def test_ephemeral_workers(far: FarEnd, match: dict[str, Any], count: int) -> None:
    """Ephemeral workers start for each request, so they are reported only if the manifest asks for
    it."""
    notices = joined(far, "on_worker_spawn", match=match)
    notices.on_spawn(deployed(ttl_s=0), WORKER)
    assert len(told(far)) == count


def test_apps(far: FarEnd) -> None:
    """The plugin is told which apps there are, and of each change once."""
    notices = joined(far)
    apps: list[tuple[str, str | None]] = [("shop", "1.0.0")]
    notices.watch(lambda _: apps)
    found = SimpleNamespace(name="audit", manifest=make_manifest("audit"))
    code = Code(frozenset(["on_apps_changed"]))
    notices.join(cast(Any, SimpleNamespace(found=found, code=code)), far.worker)
    notices._look_again()
    apps.append(("wiki", None))
    notices._look_again()
    one, two = {"name": "shop", "version": "1.0.0"}, {"name": "wiki", "version": None}
    assert told(far) == [("on_apps_changed", [one]), ("on_apps_changed", [one, two])]


def test_who_has_ended(far: FarEnd) -> None:
    """A plugin that has ended is told nothing, and nothing of it is kept."""
    notices = joined(far, "on_worker_spawn")
    notices.leave(far.worker)
    notices.on_spawn(deployed(ttl_s=60), WORKER)
    assert (told(far), notices._boxes) == ([], {})


def test_one_that_does_not_read(far: FarEnd) -> None:
    """What waits for such a plugin is bounded; later it gets the newest, and how many it has
    missed."""
    meter = PluginMeter()
    box = Mailbox(far.loop, far.worker, meter, frozenset(), has_ephemeral=False)
    data = b'"%s"' % (b"x" * 1000)
    for _ in range(5000):
        box.put("on_worker_spawn", data)
        far.loop.run_once(0)
    assert len(box._outbox) <= NOTICES_MAX
    assert box._outbox._size_bytes <= BYTES_MAX
    channel = far.worker.calling.channel
    assert sum(map(len, channel._backlog)) <= 128 * 1024
    assert meter.notices_dropped > 3000
    box.put("on_worker_spawn", b'"newest"')
    heard: list[Any] = []
    while not heard or heard[-1]["data"] != "newest":
        heard += [each for _, each, _ in far.hear()]
    assert sum(each.get("dropped", 0) for each in heard) == meter.notices_dropped
    assert len(heard) == meter.notices_sent == 5001 - meter.notices_dropped
    assert far.worker.calling.noticed == meter.notices_sent


def test_a_channel_that_is_closed(far: FarEnd) -> None:
    """On a closed channel nothing is sent, and nothing fails."""
    meter = PluginMeter()
    box = Mailbox(far.loop, far.worker, meter, frozenset(), has_ephemeral=False)
    far.worker.drain()
    box.put("on_worker_spawn", b"1")
