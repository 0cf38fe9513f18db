"""What holds for a checkout holds for buntime.pyz and for the binary: one suite, three forms."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from buntime import __version__
from tests.support.harness import (
    IS_BINARY,
    UNDER_TEST,
    Runtime,
    command,
    is_alive,
    look_into,
    running,
    wait_until,
    write_app,
)
from tests.support.runs import run

WORKERS_START_AFRESH = True  # it is about what a start brings

MODE = "binary" if IS_BINARY else "pyz" if UNDER_TEST else "checkout"

# Imports each public module of the standard library and the modules in its packages. Left out: test
# suites, what needs a screen and what installs packages, which the binary lacks, and modules that
# open a browser or are for Windows.
STDLIB = """
import importlib, os, pkgutil, sys, warnings
from buntime import Response

LEFT_OUT = {"tkinter", "turtle", "turtledemo", "idlelib", "ensurepip", "lib2to3"}
OF_WINDOWS = {"msilib", "msvcrt", "nt", "winreg", "winsound", "asyncio.windows_events",
    "asyncio.windows_utils", "multiprocessing.popen_spawn_win32", "ctypes.wintypes",
    "encodings.mbcs", "encodings.oem", "distutils.command.bdist_msi", "distutils._msvccompiler",
    "distutils.msvc9compiler", "distutils.msvccompiler"}
SPEAKS = {"antigravity", "this"}


def names():
    for name in sorted(sys.stdlib_module_names - LEFT_OUT - OF_WINDOWS - SPEAKS):
        if not name.startswith("_"):
            yield name
            module = sys.modules.get(name)
            for _, deeper, _ in pkgutil.walk_packages(getattr(module, "__path__", ()), name + "."):
                parts = deeper.split(".")
                if not {"test", "tests", "__main__", "idle_test"} & set(parts) \\
                        and deeper not in OF_WINDOWS:
                    yield deeper


def fetch(request):
    warnings.simplefilter("ignore")
    missing, seen = {}, []
    for name in names():
        try:
            importlib.import_module(name)
            seen.append(name)
        except Exception as exc:
            missing[name] = repr(exc)
    import ssl
    ssl.create_default_context()
    return Response.json({"missing": missing, "seen": seen})
"""

PROCESSES = """
import multiprocessing, os, subprocess, sys
from buntime import Response
import work


def fetch(request):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        squares = pool.map(work.square, range(5))
    code = "import sys, json, sqlite3; print(sys.executable)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    shown = subprocess.run(["env"], capture_output=True, text=True).stdout
    return Response.json({
        "squares": squares, "child": child.stdout.strip() or child.stderr,
        "executable": sys.executable, "env": shown, "frozen": hasattr(sys, "frozen"),
    })
"""

HOLD = """
import os, time
from buntime import Response


def fetch(request):
    if "go" in request.query:
        print("begun")
        while not os.path.exists(request.query["go"]):
            time.sleep(0.005)
    return Response(os.environ["APP_DIR"])
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    write_app(folder / "stdlib", {"app.py": STDLIB}, timeout=50)
    work = "def square(number):\n    return number * number\n"
    write_app(folder / "processes", {"app.py": PROCESSES, "work.py": work}, timeout=50)
    write_app(folder / "hold", {"app.py": HOLD}, ttl=600)
    write_app(folder / "once", {"app.py": HOLD})
    write_app(folder / "site", {"index.html": "<h1>site</h1>"})
    return folder


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"LD_LIBRARY_PATH": "/opt/mine"}, start=command()) as runtime:
        yield runtime


def get(runtime: Runtime, path: str) -> httpx.Response:
    return httpx.get(runtime.url + path, trust_env=False, timeout=55, verify=False)


def serves(runtime: Runtime) -> bool:
    """Whether apps of each kind answer."""
    answers = [get(runtime, path).status_code for path in ("/hold/", "/once/", "/site/")]
    return answers == [200, 200, 200]


def can_import(module: str) -> bool:
    command = [sys.executable, "-I", "-c", f"import {module}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def environ_of(pid: int) -> str:
    """Empty if the process has ended, as spare workers may at any time."""
    try:
        return Path(f"/proc/{pid}/environ").read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_what_is_tested_of_each_form(of_each_form: dict[str, tuple[str, ...]]) -> None:
    """The tests that conftest.py names for packaged files exist."""
    for file, names in of_each_form.items():
        text = Path(__file__).with_name(file).read_text("utf-8")
        assert [name for name in names if f"\ndef {name}(" not in text] == [], file


def test_version() -> None:
    """`--version` shows the version, the form and the Python."""
    done = subprocess.run([*command(), "--version"], capture_output=True, text=True, check=True)
    pattern = rf"buntime {re.escape(__version__)} \({MODE}, Python 3\.\d+\.\d+\)\n"
    assert re.fullmatch(pattern, done.stdout)


def test_completions(tmp_path: Path) -> None:
    """Each form includes what writes the completions."""
    assert "complete -c buntime " in run("completions", "fish", cwd=tmp_path).stdout


def test_environment_by_default(apps: Path) -> None:
    """A checkout is for development, a packaged file for production. Either runs without a home
    folder, as a service's user often does."""
    with running(apps, env={"RUNTIME_ENV": "", "HOME": ""}) as runtime:
        expected = "production" if UNDER_TEST else "development"
        assert runtime.wait_for_record("runtime.listening")["env"] == expected
        assert serves(runtime)


def test_the_standard_library(runtime: Runtime) -> None:
    """An app can import all public modules of the standard library."""
    told = get(runtime, "/stdlib/").json()
    # A Python may have been built without some, such as dbm.gnu; the binary then lacks them too.
    assert [name for name in told["missing"] if can_import(name)] == []
    assert len(told["seen"]) > 550
    assert {"sqlite3", "ssl", "ctypes", "curses", "readline", "xml.dom.minidom"} < set(told["seen"])


@pytest.fixture(scope="module")
def processes(runtime: Runtime) -> dict[str, Any]:
    """What an app tells about the processes that it has started."""
    told: dict[str, Any] = get(runtime, "/processes/").json()
    return told


def test_processes_of_apps(processes: dict[str, Any]) -> None:
    """An app can start its own interpreter, by subprocess and by multiprocessing."""
    assert processes["squares"] == [0, 1, 4, 9, 16]
    assert processes["child"] == processes["executable"]
    assert processes["frozen"] is False


def test_nothing_of_the_packaging_is_in_the_environment(
    runtime: Runtime, processes: dict[str, Any]
) -> None:
    """No variable of a bootloader reaches the runtime, apps, or the programs that apps start."""
    look_into(runtime.pid)
    pids = [runtime.pid, *runtime.children()]
    for text in (processes["env"], *map(environ_of, pids)):
        assert "_PYI" not in text
        assert "_MEI" not in text
        assert "LD_LIBRARY_PATH_ORIG" not in text
    assert "LD_LIBRARY_PATH=/opt/mine\0" in environ_of(runtime.pid)


# Other forms are one process; tests/e2e/http1/test_listener.py signals the group of a checkout.
@pytest.mark.parametrize("how", ["the process", *(["the group", "both"] if IS_BINARY else [])])
def test_an_end_in_order(apps: Path, tmp_path: Path, how: str) -> None:
    """A signal reaches the runtime, sent to the process that was started, its group or both."""
    start = ["setsid", "--wait", *command()] if how == "the group" else None
    with running(apps, start=start) as runtime, ThreadPoolExecutor() as threads:
        held = threads.submit(get, runtime, f"/hold/?go={tmp_path}/go")
        runtime.wait_for_line("begun")
        processes = [runtime.pid, *runtime.children()]
        if how == "the group":
            os.killpg(os.getpgid(runtime.pid), signal.SIGINT)
        else:
            for pid in {runtime.process.pid, *([runtime.pid] if how == "both" else [])}:
                os.kill(pid, signal.SIGTERM)
        runtime.wait_for_record("runtime.stopping")
        (tmp_path / "go").touch()
        assert held.result().status_code == 200
        assert runtime.process.wait(20) == 0
        wait_until(lambda: not any(map(is_alive, processes)), what="the end of all")


# SIGTERM leaves none of the other forms' either: test_an_end_in_order.
@pytest.mark.parametrize("number", [signal.SIGKILL, *([signal.SIGTERM] if IS_BINARY else [])])
def test_no_process_is_left(apps: Path, number: int) -> None:
    """However the process that was started ends, the runtime and its workers end too."""
    with running(apps) as runtime:
        assert serves(runtime)
        processes = [runtime.pid, *runtime.children()]
        assert len(processes) >= 2
        runtime.process.send_signal(number)
        wait_until(lambda: not any(map(is_alive, processes)), what="the end of all")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_signals_for_other_servers(apps: Path, number: signal.Signals) -> None:
    """They do not end the runtime, which says so and goes on serving."""
    with running(apps) as runtime:
        runtime.process.send_signal(number)
        assert runtime.wait_for_record("runtime.signal_ignored")["signal"] == number.name
        assert serves(runtime)


def test_hup_reopens_the_log(apps: Path, tmp_path: Path) -> None:
    """SIGHUP is passed on: the log file is reopened."""
    log = tmp_path / "log.json"
    with running(apps, env={"RUNTIME_LOG_FILE": str(log)}) as runtime:
        log.rename(tmp_path / "old.json")
        runtime.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, what="a new log")


def test_a_path_with_blanks_and_umlauts(apps: Path, tmp_path: Path) -> None:
    """The file, the apps, the temporary folder and the cache may be anywhere, and the locale may be
    one that knows no such letters."""
    folder = tmp_path / "mit Leerstelle, Übermut 'и' $(x)"
    shutil.copytree(apps, folder / "apps")
    start = [*command()[:-1], str(shutil.copy(UNDER_TEST, folder))] if UNDER_TEST else None
    (folder / "tmp").mkdir()
    env = {
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
    }
    with running(folder / "apps", env=env, start=start) as runtime:
        assert serves(runtime)
        assert get(runtime, "/hold/").text == str(folder / "apps/hold")


def test_first_starts_at_once(apps: Path, tmp_path: Path) -> None:
    """Two first starts at the same time do not disturb each other."""
    env = {"XDG_CACHE_HOME": str(tmp_path)}

    def start(_: int) -> bool:
        with running(apps, env=env) as runtime:
            return serves(runtime)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(start, range(2))) == [True] * 2
    assert not [path.name for path in (tmp_path / "buntime").iterdir() if path.name[0] == "."]


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="mounts are not allowed here",
)
def test_a_read_only_system(apps: Path, tmp_path: Path) -> None:
    """One writable folder is enough: the one that TMPDIR names."""
    state = tmp_path / "state"
    state.mkdir()
    script = (
        "mount --make-rprivate / && mount --bind '{0}' '{0}' && mount -o remount,ro,bind / && "
        'if touch /tmp/x 2>/dev/null; then exit 9; fi; exec "$@"'
    )
    start = ["unshare", "-m", "sh", "-c", script.format(state), "sh", *command()]
    env = {"HOME": "", "TMPDIR": str(state), "PYTHONDONTWRITEBYTECODE": "1"}
    with running(apps, env=env, start=start) as runtime:
        assert serves(runtime)


def test_the_command_line_is_passed_on() -> None:
    """Arguments arrive unchanged, and the exit code comes back."""
    done = subprocess.run(
        [*command(), "--port", "nonsense ä"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "nonsense ä" in done.stderr
