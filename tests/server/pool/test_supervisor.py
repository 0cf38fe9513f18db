"""Worker processes: started, given an app, told to end, and killed if they do not."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from buntime.core.sandbox.kernel import Kernel
from buntime.core.settings.live import LiveSettings
from buntime.core.telemetry.meters import Cause
from buntime.server.loop.loop import Loop
from buntime.server.pool.deployment import Deployment, SpareKey
from buntime.server.pool.programs import Counts
from buntime.server.pool.stats import PoolStats
from buntime.server.pool.supervisor import Supervisor
from buntime.server.pool.worker import Worker
from buntime.server.pythons.interpreter import running_interpreter
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.server.state.secretstore import NoSecrets
from buntime.wire import Message
from tests.support.apps import make_app
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import wait_until, write_app
from tests.support.settings import make_settings
from tests.support.shortage import few_descriptors

KEY = SpareKey(sys.executable, False)
GOOD = "def fetch(request):\n    return 'hello'\n"


class Told:
    """Records what the supervisor and its workers report."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_up(self, worker: Worker) -> None:
        self.events.append(("up", worker.number))

    def on_ready(self, worker: Worker, message: Message) -> None:
        self.events.append(("ready", message["kind"]))

    def on_boot_error(self, worker: Worker, message: str, stack: str) -> None:
        self.events.append(("boot error", message))

    def on_boot_timeout(self, worker: Worker, seconds: float) -> None:
        self.events.append(("boot timeout", seconds))

    def on_breach(self, worker: Worker, why: str) -> None:
        raise AssertionError(why)

    def on_broken(self, worker: Worker, why: str) -> None:
        pass  # its exit is reported next

    def on_exit(self, number: int, returncode: int) -> None:
        self.events.append(("exit", returncode))

    def on_no_means(self) -> None:
        self.events.append(("no means", None))

    def on_never_started(self, number: int, *, had_means: bool) -> None:
        self.events.append(("never started", had_means))


class Company:
    """A supervisor with real processes."""

    def __init__(self, bundle: Path, folder: Path, **variables: str) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        self.told = Told()
        self.stats = PoolStats()
        self.folder = folder
        settings = make_settings(**variables)
        environ = {"PATH": os.environ["PATH"], "SECRET_KEY": "s3cret"}
        log = make_log(self.sink)
        live = LiveSettings(settings)
        sandboxes = Sandboxes(Kernel(0), live, bundle=str(bundle), environ=environ, warn=log.warn)
        self.supervisor = Supervisor(
            self.loop,
            settings,
            log,
            bundle=str(bundle),
            environ=environ,
            stats=self.stats,
            sandboxes=sandboxes,
            counts=Counts(lambda: 1, lambda: None),
        )

    def spawn(self, key: SpareKey = KEY) -> Worker:
        self.supervisor.spawn(1, key, cast(Any, self.told))
        return self.supervisor.workers[1]

    def adopt(self, source: str, **manifest: Any) -> Deployment:
        write_app(self.folder, {"app.py": source})
        app = make_app(folder=self.folder, **manifest)
        deployment = Deployment(app, running_interpreter())
        self.supervisor.adopt(1, deployment)
        return deployment

    def wait(self, fact: Callable[[], object], what: str = "it") -> None:
        """Turn the loop until the condition holds."""

        def turn() -> object:
            if not fact():
                self.loop.run_once(0.5)
            return fact()

        wait_until(turn, timeout_s=20.0, what=what)
        assert self.errors == []

    def wait_for(self, kind: str) -> Any:
        """Turn the loop until this was reported; returns its details."""
        self.wait(lambda: any(each[0] == kind for each in self.told.events), kind)
        return next(value for each, value in self.told.events if each == kind)

    def close(self) -> None:
        self.supervisor.kill_all()
        if self.supervisor.workers:
            self.wait_for("exit")
            for worker in self.supervisor.workers.values():
                worker.drain()
        self.loop.close()


@pytest.fixture
def company(bundle: Path, tmp_path: Path) -> Iterator[Company]:
    made = Company(bundle, tmp_path / "app")
    yield made
    made.close()


class NoneSet:
    """The secrets of an app that lacks one."""

    def of(self, app: Any) -> None:
        raise NoSecrets("the secret KEY is not set")


def test_a_worker_of_an_app_without_its_secrets(company: Company) -> None:
    """What is told of the worker is told of the app, also if the app cannot be loaded at all."""
    worker = company.spawn()
    company.supervisor.secrets = cast(Any, NoneSet())
    with pytest.raises(NoSecrets):
        company.adopt(GOOD)
    worker.log.error("app.boot_failed", "app failed to load")
    assert (worker.app_name, company.sink.records[-1].fields["app"]) == ("shop", "shop")
    worker.process.kill()


def test_a_spare_is_started(company: Company) -> None:
    """A spare's interpreter reports that it is up, and waits for an app."""
    worker = company.spawn()
    assert company.wait_for("up") == 1
    assert (worker.name, worker.app_name) == ("w1", "")
    assert company.stats.worker_created == 1


def test_a_worker_loads_the_app_it_is_given(company: Company) -> None:
    """INIT may be sent before the interpreter is up; the worker reports what kind of app it
    found."""
    worker = company.spawn()
    company.adopt(GOOD, timeout_s=7.0)
    assert company.wait_for("ready") == "fetch"
    assert [kind for kind, _ in company.told.events] == ["up", "ready"]
    assert (worker.app_name, worker.deadline_s) == ("shop", 7.0)


def test_variables_that_are_withheld_are_told_once(company: Company) -> None:
    """An app does not get the runtime's secrets, and the log lists their names, not their
    values."""
    company.spawn()
    deployment = company.adopt("import os\nassert 'SECRET_KEY' not in os.environ\n" + GOOD)
    company.wait_for("ready")
    (record,) = [each for each in company.sink.records if each.event == "app.variables_withheld"]
    assert record.fields["names"] == ["SECRET_KEY"]
    assert deployment.are_blocked_logged


def test_what_an_app_prints_is_logged_as_its_own(company: Company) -> None:
    """Lines of stdout and stderr are labelled with the app, the worker and the stream."""
    company.spawn()
    company.adopt("import sys\nprint('out')\nprint('err', file=sys.stderr)\n" + GOOD)
    company.wait_for("ready")
    company.wait(lambda: len(_outputs(company)) == 2, "both lines")
    assert sorted(_outputs(company)) == [("err", "stderr", "shop"), ("out", "stdout", "shop")]


def test_a_refusal_that_an_app_prints_is_explained_once(company: Company) -> None:
    """A framework's trace of a file that may not be used gets advice: once for a state of the
    code."""
    error = "PermissionError: [Errno 13] Permission denied: '/srv/a'"
    company.spawn()
    prints = f"import sys\nfor _ in range(3): print({error!r}, file=sys.stderr)\nprint({error!r})\n"
    deployment = company.adopt(prints + GOOD)
    company.wait_for("ready")
    company.wait(lambda: len(_outputs(company)) == 4, "all lines")
    told = [each for each in company.sink.records if each.event == "app.refused"]
    assert [each.fields["error"] for each in told] == [error]
    assert "APP_DATA_DIR" in str(told[0].fields["hint"])
    assert deployment.is_refusal_logged


def _outputs(company: Company) -> list[tuple[str, object, object]]:
    return [
        (each.message, each.fields["stream"], each.fields["app"])
        for each in company.sink.records
        if "stream" in each.fields
    ]


def test_an_app_that_cannot_be_loaded(company: Company) -> None:
    """The worker reports why, and ends."""
    company.spawn()
    company.adopt("raise RuntimeError('a bad deploy')\n")
    assert "a bad deploy" in company.wait_for("boot error")
    assert company.wait_for("exit") == 1


def test_a_worker_ends_when_told(company: Company) -> None:
    """TERMINATE makes it exit by itself, with code 0; the reason is kept for its death."""
    company.spawn()
    company.adopt(GOOD)
    company.wait_for("ready")
    company.supervisor.end(1, was_idle=True)
    assert company.wait_for("exit") == 0
    assert company.stats.on_death(1, 0, was_ordered=True, failed_to_load=False)[0] is Cause.IDLE


def test_a_worker_is_killed_with_a_cause(company: Company) -> None:
    """It cannot prevent it."""
    worker = company.spawn()
    company.supervisor.kill(worker, Cause.STUCK)
    assert company.wait_for("exit") == -9
    assert company.stats.on_death(1, -9, was_ordered=False, failed_to_load=False)[0] is Cause.STUCK


def test_an_interpreter_that_is_not_there(company: Company) -> None:
    """The failure is reported a turn later, since the caller is still carrying out its
    decisions."""
    company.supervisor.spawn(1, SpareKey("/no/such/python", False), cast(Any, company.told))
    assert company.told.events == []
    assert company.wait_for("never started") is True
    assert company.supervisor.workers == {}
    assert "worker.start_failed" in company.sink.events()


@pytest.fixture(scope="module")
def old_objects() -> Iterator[None]:
    """The collector skips what other files have left."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("old_objects")
@pytest.mark.parametrize("room", [0, 1, 3, 5, 7, 9, 11])
def test_a_machine_without_descriptors(company: Company, room: int) -> None:
    """The failure is reported at once, so that no other worker is started, and in one line of the
    log. No descriptor stays open."""
    gc.collect()  # closes most of what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    with few_descriptors(room):
        for number in (1, 2):
            company.supervisor.spawn(number, KEY, cast(Any, company.told))
    assert company.told.events == [("no means", None)] * 2
    assert company.wait_for("never started") is False
    assert company.supervisor.workers == {}
    assert company.sink.events() == ["worker.no_means"]
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_is_told_of_a_worker_that_is_not_there(company: Company) -> None:
    """Decisions about a worker that could not be started are ignored."""
    company.adopt(GOOD)
    company.supervisor.end(1, was_idle=False)


def test_an_app_that_takes_too_long_to_load(bundle: Path, tmp_path: Path) -> None:
    """Once RUNTIME_BOOT_TIMEOUT has passed, this is reported."""
    company = Company(bundle, tmp_path / "app", RUNTIME_BOOT_TIMEOUT="0.2s")
    company.spawn()
    company.adopt("import time\ntime.sleep(60)\n")
    assert company.wait_for("boot timeout") == 0.2
    company.close()


def test_the_time_of_a_boot_ends_with_it(bundle: Path, tmp_path: Path) -> None:
    """No timeout is reported for a worker that has loaded its app."""
    company = Company(bundle, tmp_path / "app", RUNTIME_BOOT_TIMEOUT="1s")
    company.spawn()
    company.adopt(GOOD)
    company.wait_for("ready")
    company.supervisor.stop_boot_timer(1)
    company.supervisor.stop_boot_timer(1)  # a second time does no harm
    company.loop.call_later(1.1, lambda: company.told.events.append(("later", None)))
    company.wait_for("later")
    assert "boot timeout" not in [kind for kind, _ in company.told.events]
    company.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_low_memory(company: Company) -> None:
    """A worker for apps with lowMemory gets one malloc arena from its start."""
    worker = company.spawn(KEY._replace(low_memory=True))
    company.wait_for("up")
    environ = Path(f"/proc/{worker.process.pid}/environ").read_bytes().split(b"\0")
    assert b"MALLOC_ARENA_MAX=1" in environ
