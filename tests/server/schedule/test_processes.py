"""Processes of apps run without any request, and are replaced when the app changes."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.support.harness import is_alive, wait_until, write_app
from tests.support.unasked import Place

RUNS = "trap 'echo $1 off; exit 0' TERM; echo $1 on; while :; do sleep 0.05; done"


def write(place: Place, name: str = "shop@1.2.0", words: str = "one", **manifest: Any) -> None:
    processes = {"worker": ["sh", "-c", RUNS, "sh", words]}
    write_app(place.apps / name, {"app.py": ""}, **{"processes": processes, **manifest})


def up(place: Place) -> list[int]:
    return [each.process.pid for each in place.pool.programs.running.values()]


def test_it_runs(place: Place) -> None:
    """It starts with the runtime, is reported like a worker, and ends with the pool."""
    write(place)
    place.begin()
    place.until(lambda: place.lines() == ["one on"])
    (told,) = place.pool.report.workers(place.loop.now)
    assert (told["app"], told["program"], told["status"]) == ("shop", "process:worker", "program")
    (row,) = place.unasked.processes.metrics()
    assert (row.app, row.process, [*row.values.values()]) == ("shop", "worker", [1, 1])
    assert place.events("process.started")[0]["pid"] == told["pid"]
    place.service.is_draining = True
    place.pool.close(lambda: None)
    place.until(lambda: not up(place))
    assert place.lines()[-1] == "one off"


def test_it_dies(place: Place) -> None:
    """It is restarted a second later."""
    write(place)
    place.begin()
    place.until(place.lines)
    os.kill(up(place)[0], signal.SIGKILL)
    place.until(lambda: place.lines() == ["one on", "one on"])
    died = place.events("process.died")[0]
    assert (died["how"], died["retry_s"], died["process"]) == ("killed by SIGKILL", 1.0, "worker")
    assert place.unasked.failing() == []


def test_it_does_not_stay_up(place: Place) -> None:
    """One that ends three times in a row is named, with how it ended."""
    write_app(place.apps / "shop", {"app.py": ""}, processes={"worker": ["sh", "-c", "exit 3"]})
    place.begin()
    place.until(lambda: place.unasked.failing() != [])
    assert place.unasked.failing() == [(("shop", "worker"), 3, "exit code 3")]


def test_recycled(place: Place) -> None:
    """When an operator recycles the app its process is replaced; jobs continue."""
    write(place)
    place.begin()
    place.until(place.lines)
    (program,) = place.pool.programs.running.values()
    assert place.pool.orders.recycle_app("shop", "shop@1.0.0") == []
    assert place.pool.orders.recycle_app("shop", None) == [program.name]
    place.until(lambda: place.lines() == ["one on", "one off", "one on"])
    assert not place.pool.orders.recycle_worker(program.name)


def test_other_code(place: Place) -> None:
    """When its app changes it ends, and then another one starts; when the app is removed it
    ends."""
    write(place)
    place.begin()
    place.until(place.lines)
    write(place, words="two")
    place.changed("shop")
    place.until(lambda: place.lines() == ["one on", "one off", "two on"])
    write(place, "shop@2.0.0", "three")
    place.changed("shop")
    place.until(lambda: place.lines()[3:] == ["two off", "three on"])
    assert len(up(place)) == 1
    for name in ("shop@1.2.0", "shop@2.0.0"):
        (place.apps / name).rename(place.root / name)
    place.changed("shop")
    place.until(lambda: not up(place))
    assert place.lines()[5:] == ["three off"]
    assert place.events("process.died") == []


def test_a_faulty_manifest(place: Place) -> None:
    """A temporarily broken manifest ends nothing; nor is anything checked twice."""
    write(place)
    place.begin()
    place.until(place.lines)
    (place.apps / "shop@1.2.0/buntime.yaml").write_text("processes: {worker: [")
    place.changed(*["shop"] * 5)
    place.until(lambda: place.roll.has_looked)
    place.look()
    write(place, words="two")
    place.changed("shop")
    place.until(lambda: place.lines() == ["one on", "one off", "two on"])
    assert len(place.events("process.started")) == 2


def test_its_app_is_watched(place: Place) -> None:
    """Its app is watched like one that a worker has loaded."""
    followed = []
    place.pool.deployments.follow = followed.append
    write(place)
    place.begin()
    place.until(lambda: followed)
    assert followed[0].app is place.roll.apps["shop"]


def test_what_cannot_start(place: Place) -> None:
    """The fault is logged, and the start is retried later."""
    write(place, python="no-such-python")
    place.begin()
    place.until(lambda: place.events("process.start_failed"))
    told = place.events("process.start_failed")[0]
    assert "no-such-python" in told["error"]
    assert told["retry_s"] == 1


def test_too_much_memory(place: Place) -> None:
    """A process above maxMemory is ended and restarted."""
    grows = [
        "python",
        "-S",
        "-c",
        "x = b'x' * (60 << 20)\nprint('big', flush=True)\nimport time\ntime.sleep(60)",
    ]
    write_app(place.apps / "shop", {"app.py": ""}, processes={"worker": grows}, maxMemory="40mb")
    place.begin()
    place.until(lambda: place.events("process.memory_exceeded"))
    place.until(lambda: place.events("process.died"))
    assert place.events("process.died")[0]["how"] == "killed by SIGTERM"


def test_room(tmp_path: Any, bundle: Any) -> None:
    """Processes take room of workers, and at most half of it."""
    place = Place(tmp_path, bundle, RUNTIME_POOL_SIZE="3")
    try:
        command = ["sleep", "60"]
        write_app(place.apps / "shop", {"app.py": ""}, processes={"a": command, "b": command})
        place.begin()
        place.until(lambda: place.events("process.no_room"))
        assert place.events("process.no_room")[0]["processes"] == ["shop:b"]
        place.until(lambda: len(up(place)) == 1)
    finally:
        place.close()


def test_orphans_go(place: Place) -> None:
    """Processes that it started and left end with it, and are not taken for orphans before."""
    script = "setsid sleep 60 & echo $!; exec sleep 60"
    write_app(place.apps / "shop", {"app.py": ""}, processes={"worker": ["sh", "-c", script]})
    place.pool.start()
    place.begin()
    place.until(place.lines)
    child = int(place.lines()[0])
    for _ in range(4):
        place.loop.run_once(0.3)
    assert is_alive(child)
    (place.apps / "shop").rename(place.root / "away")
    place.changed("shop")
    place.until(lambda: not up(place))

    def is_gone() -> bool:
        place.loop.run_once(0.3)
        return not is_alive(child)

    wait_until(is_gone)
