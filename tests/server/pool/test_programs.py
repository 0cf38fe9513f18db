"""Programs of apps: they run like the app's workers, and end with their runtime."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.settings.live import LiveSettings
from buntime.server.loop.loop import Loop
from buntime.server.pool.allowance import Allowances
from buntime.server.pool.programs import Counts, Means, Order, Program, Programs
from buntime.server.pythons.interpreter import running_interpreter
from buntime.server.sandbox.groups import Groups
from buntime.server.sandbox.probe import find_kernel
from buntime.server.sandbox.sandboxes import Sandboxes
from buntime.wire import Message
from tests.support.apps import make_app
from tests.support.fakes import FakeSink, make_log
from tests.support.harness import wait_until, write_app
from tests.support.settings import make_settings


class Hall:
    """Real programs, and what they report."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self.errors: list[BaseException] = []
        self.loop = Loop(self.errors.append)
        self.sink = FakeSink()
        self.lines: list[str] = []
        self.codes: list[int] = []
        self.folder = folder
        settings = make_settings(folder, RUNTIME_STATE_DIR=str(folder.parent / "state"))
        environ = {"PATH": os.environ["PATH"], "SECRET_KEY": "s3cret", "TZ": "UTC"}
        log = make_log(self.sink)
        self.sandboxes = Sandboxes(
            find_kernel(),
            LiveSettings(settings),
            bundle=str(bundle),
            environ=environ,
            warn=log.warn,
        )
        groups, allowances = Groups("off", log.warn), Allowances()
        self.secrets: dict[str, str] = {}
        means = Means(
            settings, str(bundle), environ, self.sandboxes, groups, allowances, self._secrets_of
        )
        counts = Counts(iter(range(1, 99)).__next__, lambda: None)
        self.gone: list[str] = []
        self.programs = Programs(
            self.loop, log, means, counts, ended=lambda name, _: self.gone.append(name)
        )

    def _secrets_of(self, app: App) -> Message | None:
        return {"values": self.secrets, "hidden": []} if self.secrets else None

    def start(self, *words: str, **manifest: object) -> Program:
        folder = write_app(self.folder / "shop", {"app.py": "", "shop.py": "PRICE = 5"})
        app = make_app("shop", "1.2.0", folder=folder, **manifest)
        return self.programs.start(
            Order(app, running_interpreter(), words, "release"),
            on_exit=self.codes.append,
            on_line=lambda stream, line: self.lines.append(f"{stream}: {line}"),
        )

    def run(self, *words: str, **manifest: object) -> list[str]:
        """Run a program; returns what it prints, and its exit code."""
        self.start(*words, **manifest)
        self.wait()
        return [*self.lines, str(self.codes[-1])]

    def wait(self) -> None:
        self.until(lambda: not self.programs.running)

    def until(self, fact: Callable[[], object]) -> None:
        def turn() -> object:
            if not fact():
                self.loop.run_once(0.5)
            return fact()

        wait_until(turn)


@pytest.fixture
def hall(bundle: Path, tmp_path: Path) -> Iterator[Hall]:
    hall = Hall(bundle, tmp_path / "apps")
    yield hall
    hall.programs.kill_all()
    if hall.programs.running:
        hall.wait()
    hall.sandboxes.close()
    hall.loop.close()
    assert hall.errors == []


def test_it_is_the_apps_own(hall: Hall) -> None:
    """A program runs in the app's folder, with the app's Python, modules and environment."""
    code = (
        "import os, sys, shop, buntime; e = os.environ; "
        "print(shop.PRICE, os.getcwd() == e['APP_DIR'], e['COLOUR'], 'SECRET_KEY' in e, e['TZ']); "
        "print(sys.executable, buntime.Response.__name__, sys.stdin.read() == ''); sys.exit(3)"
    )
    assert hall.run("python", "-c", code, env={"COLOUR": "red"}) == [
        "stdout: 5 True red False UTC",
        f"stdout: {sys.executable} Response True",
        "3",
    ]
    record = hall.sink.records[0]
    assert {"app": "shop", "version": "1.2.0", "worker": "release"}.items() <= record.fields.items()


def test_one_that_reports_twice_that_it_is_up(hall: Hall, tmp_path: Path) -> None:
    """It is a Python of the app's own, and is ended: it could flood the runtime."""
    says = (
        "import os, sys, time\n"
        'os.write(int(sys.argv[-3]), 2 * b\'{"type":"UP"}\\n\')\n'
        "time.sleep(60)\n"
    )
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{says}")
    python.chmod(0o755)
    folder = write_app(hall.folder / "shop", {"app.py": ""})
    interpreter = running_interpreter()._replace(executable=str(python))
    hall.programs.start(
        Order(make_app("shop", "1.2.0", folder=folder), interpreter, ("true",), "release"),
        on_exit=hall.codes.append,
        on_line=None,
    )
    hall.wait()
    assert hall.codes == [-signal.SIGKILL]


def test_secrets(hall: Hall) -> None:
    """A program has the app's secrets, as workers do."""
    hall.secrets |= {"DATABASE_URL": "postgres://x", **{f"S{n}": "x" * 10_000 for n in range(40)}}
    assert hall.run("sh", "-c", "echo $DATABASE_URL") == ["stdout: postgres://x", "0"]


def test_from_the_path_and_the_folder(hall: Hall) -> None:
    """A program is found on the PATH, or by its path from the app's folder."""
    script = write_app(hall.folder / "shop", {"bin/hi": "#!/bin/sh\necho hi $1\n"}) / "bin/hi"
    script.chmod(0o755)
    assert hall.run("bin/hi", "you") == ["stdout: hi you", "0"]
    assert hall.run("sh", "-c", "kill -9 $$") == ["stdout: hi you", "-9"]


def test_what_cannot_be_run(hall: Hall) -> None:
    """What cannot be run gives exit code 127, and a line that says what was looked for and
    where."""
    told, code = hall.run("no-such-program", "-x")
    assert code == "127"
    assert "stderr: buntime: no-such-program cannot be run (No such file" in told


def test_broken_pipes_end_it(hall: Hall) -> None:
    """A broken pipe ends the program: it does not ignore the signals that its worker process
    ignored."""
    assert hall.run("sh", "-c", "yes | head -1; kill -PIPE $$")[-1] == str(-signal.SIGPIPE)


def test_limits(hall: Hall) -> None:
    """The limits in the manifest apply to it, too."""
    told = hall.run("sh", "-c", "ulimit -f; ulimit -c; nice", max_file_size_bytes=1 << 20, nice=4)
    assert told == ["stdout: 2048", "stdout: 0", f"stdout: {os.nice(0) + 4}", "0"]


@pytest.mark.skipif(not find_kernel().is_fit, reason="needs Landlock")
def test_sandbox(hall: Hall) -> None:
    """It is in the app's sandbox: it cannot read other apps, and can write to its own folders
    only."""
    other = write_app(hall.folder / "blog", {"secret.txt": "x"}) / "secret.txt"
    script = f"cat {other}; touch {hall.folder}/x; touch $APP_DATA_DIR/a $HOME/b && echo fine"
    told = hall.run("sh", "-c", script, data=True)
    assert [line for line in told if "stderr" not in line] == ["stdout: fine", "0"]
    assert len([line for line in told if "ermission denied" in line]) == 2
    assert hall.run("sh", "-c", f"touch {hall.folder}/x", sandbox="off")[-1] == "0"


def test_its_end(hall: Hall) -> None:
    """When asked to end, it and the processes it started get SIGTERM; then its end is reported."""
    script = "trap 'echo bye; exit 7' TERM; sleep 60 & echo on; wait"
    program = hall.start("sh", "-c", script)
    hall.until(lambda: hall.lines)
    program.end()
    hall.wait()
    assert hall.lines == ["stdout: on", "stdout: bye"]
    assert hall.codes == [7]


def test_who_does_not_end(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is still there after a while is killed."""
    monkeypatch.setattr("buntime.server.pool.programs._END_GRACE_S", 0.05)
    program = hall.start("sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done")
    hall.until(lambda: hall.lines)
    program.end()
    hall.wait()
    assert hall.codes == [-signal.SIGKILL]
