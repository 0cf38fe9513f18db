"""Interpreters: which one runs an app, and what the app may import."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from buntime.core.apps.app import App
from buntime.core.apps.manifest import default_manifest
from buntime.core.errors import ManifestError, UsageError
from buntime.server.pythons.interpreter import Interpreters, package_path, running_interpreter
from buntime.server.pythons.probe import Interpreter, probe

VERSION = ".".join(map(str, sys.version_info[:3]))
LIB = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
BASE = os.path.realpath(sys.executable)


def make_app(folder: Path, python: str | None = None) -> App:
    folder.mkdir(exist_ok=True)
    manifest = replace(default_manifest(1000), python=python)
    return App("shop", None, folder, "app.py", manifest, Path("apps/shop/buntime.yaml"))


def make_venv(folder: Path) -> Path:
    """A minimal virtual environment; returns its folder of packages."""
    packages = folder / LIB / "site-packages"
    packages.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(BASE)
    (folder / "pyvenv.cfg").write_text(
        f"home = {os.path.dirname(BASE)}\ninclude-system-site-packages = false\n"
    )
    return packages


def script(path: Path, text: str) -> str:
    """An executable that is not Python, or that runs one and leaves a trace."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def counting(path: Path, then: str = f'exec {BASE} "$@"') -> tuple[str, Path]:
    """An interpreter that writes a line each time it is run, and the file with the lines."""
    log = path.with_name(path.name + ".runs")
    return script(path, f"echo run >> {log}\n{then}"), log


def runs(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def interpreters(clock: Clock) -> Interpreters:
    return Interpreters(None, clock=clock)


# Which one


def test_the_default_is_the_running_one(tmp_path: Path, interpreters: Interpreters) -> None:
    """By default an app runs on the runtime's own Python, and no process is started to find out."""
    app = make_app(tmp_path / "shop")
    assert interpreters.known(app) is interpreters.default
    assert interpreters.find(app) is interpreters.default
    assert interpreters.default.executable == sys.executable


def test_the_apps_own_venv(tmp_path: Path, interpreters: Interpreters) -> None:
    """An app's .venv is used, with its packages and its prefix."""
    app = make_app(tmp_path / "shop")
    packages = make_venv(app.dir / ".venv")
    assert interpreters.known(app) is None  # this takes a process, which is not started here
    found = interpreters.find(app)
    assert found == Interpreter(
        str(app.dir / ".venv/bin/python"), VERSION, (str(packages),), str(app.dir / ".venv")
    )
    assert interpreters.known(app) is found


@pytest.mark.parametrize("written", ["{base}", "../venv/bin/python", "~/venv/bin/python"])
def test_the_manifests_path(tmp_path: Path, written: str) -> None:
    """The manifest's path takes precedence over the .venv; a relative one starts at the app's
    folder."""
    app = make_app(tmp_path / "shop", written.format(base=BASE))
    make_venv(app.dir / ".venv")
    make_venv(tmp_path / "venv")
    interpreters = Interpreters(None, environ={"HOME": str(tmp_path)})
    own = "venv" in written
    wanted = str(tmp_path / "venv/bin/python") if own else BASE
    assert interpreters.find(app).executable == wanted


@pytest.mark.parametrize(
    ("written", "name"), [("3.12", "python3.12"), ("3", "python3"), ("py", "py")]
)
def test_the_manifests_name(tmp_path: Path, written: str, name: str) -> None:
    """A version or a name is looked up on the PATH."""
    script(tmp_path / "bin" / name, f'exec {BASE} "$@"')
    interpreters = Interpreters(None, environ={"PATH": f"/nowhere:{tmp_path}/bin"})
    assert interpreters.find(make_app(tmp_path / "shop", written)).executable == BASE


def test_runtime_python(tmp_path: Path) -> None:
    """RUNTIME_PYTHON is the default for apps that name no Python, and is known from the start."""
    packages = make_venv(tmp_path / "venv")
    interpreters = Interpreters(str(tmp_path / "venv/bin/python"))
    assert interpreters.default.path == (str(packages),)
    assert interpreters.known(make_app(tmp_path / "shop")) is interpreters.default


# Faulty interpreters


def unfit(interpreters: Interpreters, app: App) -> str:
    with pytest.raises(ManifestError) as caught:
        interpreters.find(app)
    return str(caught.value)


def test_no_such_name(tmp_path: Path) -> None:
    """A name that is not on the PATH is reported as the command that was looked up."""
    interpreters = Interpreters(None, environ={"PATH": str(tmp_path)})
    assert unfit(interpreters, make_app(tmp_path / "shop", "3.99")) == (
        "apps/shop/buntime.yaml: python: there is no 'python3.99' on the PATH; "
        "install it, or write the path of an interpreter"
    )


def test_no_such_file(tmp_path: Path, interpreters: Interpreters) -> None:
    """A path to nothing is an error that names it, and says what to do."""
    message = unfit(interpreters, make_app(tmp_path / "shop", "/nowhere/python"))
    assert message.startswith("apps/shop/buntime.yaml: /nowhere/python cannot be run: No such file")
    assert "name another one as `python`" in message


def test_a_broken_venv(tmp_path: Path, interpreters: Interpreters) -> None:
    """A .venv whose Python is gone is an error, and the app does not run with other packages
    instead."""
    app = make_app(tmp_path / "shop")
    (app.dir / ".venv/bin").mkdir(parents=True)
    (app.dir / ".venv/bin/python").symlink_to("/nowhere/python3")
    assert ".venv/bin/python cannot be run: No such file" in unfit(interpreters, app)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo some text; echo 'last words'", "is not a Python 3: 'last words'"),
        ("exit 3", "is not a Python 3: 'exit code 3'"),
        ("exec yes", "is not a Python 3: 'y'"),
        (
            """echo 'buntime-probe:{"executable":"x","version":[3,8,1],"path":[],"prefix":"/"}'""",
            "is Python 3.8.1; 3.9 or newer is needed",
        ),
    ],
)
def test_what_cannot_run_apps(
    tmp_path: Path, interpreters: Interpreters, text: str, said: str
) -> None:
    """What is no Python, or too old, is reported as such, and stopped if it never ends."""
    path = script(tmp_path / "thing", text)
    assert f"{path} {said}" in unfit(interpreters, make_app(tmp_path / "shop", path))


def test_a_file_that_is_not_executable(tmp_path: Path, interpreters: Interpreters) -> None:
    """A file without its x bit cannot be run, nor can a folder."""
    (tmp_path / "python").touch()
    for path in (tmp_path / "python", tmp_path):
        message = unfit(interpreters, make_app(tmp_path / "shop", str(path)))
        assert f"{path} cannot be run: Permission denied" in message


def test_one_that_hangs(tmp_path: Path) -> None:
    """An interpreter that does not answer is killed with everything that it has started."""
    pid = tmp_path / "pid"
    path = script(tmp_path / "hangs", f"sleep 600 & echo $! > {pid}\nwait")
    deadline = time.monotonic() + 10
    assert probe(path, os.environ, timeout_s=0.5) == f"{path} gave no answer within 0.5 s"
    while is_running(int(pid.read_text())):
        assert time.monotonic() < deadline


def test_one_that_leaves_a_child(tmp_path: Path) -> None:
    """A child that has left its group, and holds its output, is not waited for."""
    pid = tmp_path / "pid"
    path = script(tmp_path / "leaves", f'setsid sleep 600 & echo $! > {pid}\nexec {BASE} "$@"')
    began = time.monotonic()
    try:
        assert isinstance(probe(path, os.environ), Interpreter)
        assert time.monotonic() - began < 5
    finally:
        os.kill(int(pid.read_text()), 9)


@pytest.mark.parametrize("text", ["exec >/dev/null 2>&1; sleep 600", "sleep 600 | cat"])
def test_one_that_says_nothing(tmp_path: Path, text: str) -> None:
    """Closing the output does not end the wait for its exit."""
    path = script(tmp_path / "silent", text)
    assert probe(path, os.environ, timeout_s=0.3) == f"{path} gave no answer within 0.3 s"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"executable": 1, "version": [3, 11, 1], "path": [], "prefix": ""}',
        '{"executable": "", "version": "3.11", "path": [], "prefix": ""}',
        '{"executable": "", "version": [3, "x"], "path": [], "prefix": ""}',
        '{"executable": "", "version": [3, 11, 1], "path": 7, "prefix": ""}',
        '{"executable": "", "version": [3, 11, 1], "path": [7], "prefix": ""}',
        '{"executable": "", "version": [3, 11, 1], "path": ["\\u0000"], "prefix": ""}',
        '{"executable": "", "version": [3, 11, 1], "path": ["\\ud800"], "prefix": ""}',
        '{"executable": "", "version": [3, 11, 1], "path": [], "prefix": null}',
        '{"executable": "", "version": [3, 11, 1], "path": [], "prefix": "", "more": 1}',
        "[" * 100_000,
    ],
)
def test_one_that_lies(tmp_path: Path, answer: str) -> None:
    """An invalid answer is reported as such."""
    (tmp_path / "answer").write_text(f"buntime-probe:{answer}\n")
    path = script(tmp_path / "liar", f"cat {tmp_path}/answer")
    told = probe(path, os.environ)
    assert isinstance(told, str)
    assert told.startswith(f"{path} is not a Python 3: ")


def is_running(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False)
    return done.stdout.strip() not in (b"", b"Z", b"Zs")


@pytest.mark.parametrize("python", ["/nowhere/python", "nowhere-python"])
def test_a_faulty_default(python: str) -> None:
    """A RUNTIME_PYTHON that does not work makes the start fail, and is named."""
    with pytest.raises(UsageError, match=r"^RUNTIME_PYTHON: .*nowhere"):
        Interpreters(python)


# What it may import


def test_path_of_a_venv(tmp_path: Path) -> None:
    """The path has packages and what .pth files add, and nothing of the standard library."""
    packages = make_venv(tmp_path / "venv")
    (tmp_path / "lib-a").mkdir()
    (packages / "a.pth").write_text(f"{tmp_path}/lib-a\n# no\nimport sys; sys.path.append('/b')\n")
    found = probe(str(tmp_path / "venv/bin/python"), os.environ)
    assert isinstance(found, Interpreter)
    assert found.path == (str(packages), f"{tmp_path}/lib-a", "/b")


def test_what_pth_files_print(tmp_path: Path) -> None:
    """A .pth file that prints, or fails, does not spoil the answer."""
    packages = make_venv(tmp_path / "venv")
    (packages / "a.pth").write_text("import sys; print('buntime'); sys.stderr.write('x' * 1000)\n")
    (packages / "b.pth").write_text("import nothing_like_this\n")
    found = probe(str(tmp_path / "venv/bin/python"), os.environ)
    assert isinstance(found, Interpreter)
    assert found.path == (str(packages),)


def test_it_sees_no_secrets(tmp_path: Path) -> None:
    """Code in a .pth file is an app's code: it gets none of the runtime's environment."""
    packages = make_venv(tmp_path / "venv")
    (packages / "a.pth").write_text("import os, sys; sys.path.append('/'.join(os.environ))\n")
    environ = {"PATH": os.defpath, "RUNTIME_MASTER_KEY": "secret", "PYTHONPATH": "/evil"}
    found = probe(str(tmp_path / "venv/bin/python"), environ)
    assert isinstance(found, Interpreter)
    assert set(found.path[1].split("/")) <= {"PATH", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}


def test_a_worker_finds_packages(tmp_path: Path) -> None:
    """With -I -S and the path that was found, the environment's packages can be imported."""
    packages = make_venv(tmp_path / "venv")
    (packages / "apackage.py").write_text("value = 7")
    found = probe(str(tmp_path / "venv/bin/python"), os.environ)
    assert isinstance(found, Interpreter)
    code = f"import sys; sys.path += {list(found.path)!r}; import apackage; print(apackage.value)"
    command = [found.executable, "-I", "-S", "-c", code]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"7\n"


def test_the_running_path(tmp_path: Path) -> None:
    """The default path has the packages, but not the checkout, the script's folder or
    PYTHONPATH."""
    packages = make_venv(tmp_path / "venv")
    for name in ("linked", "pythonpath", "appended"):
        (tmp_path / name).mkdir()
    checkout = str(Path(__file__).resolve().parents[3])
    (packages / "a.pth").write_text(f"{tmp_path}/linked\n{checkout}\nimport sys\n")
    code = f"""
import sys
sys.path[:0] = ["", {checkout!r}, "/some/buntime.pyz"]
sys.path.append({str(tmp_path / "appended")!r})
from buntime.server.pythons.interpreter import running_interpreter
print(running_interpreter())
"""
    done = subprocess.run(
        [str(tmp_path / "venv/bin/python"), "-c", code],
        env={"PYTHONPATH": f"{tmp_path}/pythonpath:{sys.path[-1]}:{yaml_folder()}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == repr(
        Interpreter(
            str(tmp_path / "venv/bin/python"),
            VERSION,
            (str(packages), f"{tmp_path}/linked"),
            str(tmp_path / "venv"),
        )
    )


def yaml_folder() -> str:
    """Where this environment's packages are, for the runtime's own imports."""
    return str(Path(yaml.__file__).parents[1])


def test_the_running_one_as_probed() -> None:
    """What is derived for the running interpreter is what a process would report."""
    probed = probe(sys.executable, os.environ)
    running = running_interpreter()
    assert isinstance(probed, Interpreter)
    checkout = str(Path(__file__).resolve().parents[3])
    assert running == probed._replace(path=tuple(p for p in probed.path if p != checkout))


def test_packages_alone() -> None:
    """An installed runtime does not hide the packages that are installed beside it."""
    path = ["", "/app", "/std", "/packages", "/other"]
    assert package_path(path, ["/packages", "/user"], "/packages") == ("/packages",)


# Caching


def test_an_interpreter_is_run_once(tmp_path: Path, interpreters: Interpreters) -> None:
    """Apps that share an interpreter share what is known about it."""
    python, log = counting(tmp_path / "python")
    first = interpreters.find(make_app(tmp_path / "shop", python))
    assert interpreters.find(make_app(tmp_path / "cart", python)) is first
    assert interpreters.known(make_app(tmp_path / "cart", python)) is first
    assert runs(log) == 1


def test_venvs_of_one_python_are_two(tmp_path: Path, interpreters: Interpreters) -> None:
    """Two environments made from one Python are told apart, even though their links end at one
    file."""
    apps = [make_app(tmp_path / name) for name in ("shop", "cart")]
    packages = [str(make_venv(app.dir / ".venv")) for app in apps]
    assert [interpreters.find(app).path for app in apps] == [(path,) for path in packages]


@pytest.mark.parametrize("change", ["pyvenv.cfg", "packages", "python"])
def test_a_changed_venv_is_looked_at_again(
    tmp_path: Path, interpreters: Interpreters, change: str
) -> None:
    """An interpreter is asked again if its environment was recreated, its packages changed, or its
    Python did."""
    app = make_app(tmp_path / "shop")
    packages = make_venv(app.dir / ".venv")
    first = interpreters.find(app)
    if change == "pyvenv.cfg":
        os.utime(app.dir / ".venv/pyvenv.cfg", ns=(1, 1))
    elif change == "packages":
        (packages / "a.pth").write_text(f"{tmp_path}\n")
        os.utime(packages, ns=(1, 1))
    else:
        python = app.dir / ".venv/bin/python"
        python.unlink()
        script(python, f'exec {BASE} "$@"')
    assert interpreters.known(app) is None
    second = interpreters.find(app)
    assert (str(tmp_path) in second.path) == (change == "packages")
    assert (second.executable == first.executable) == (change != "python")


def test_a_broken_one_rests(tmp_path: Path, interpreters: Interpreters, clock: Clock) -> None:
    """A broken interpreter is not run for each request, but again after five seconds."""
    python, log = counting(tmp_path / "python", "exit 1")
    app = make_app(tmp_path / "shop", python)
    unfit(interpreters, app)
    unfit(interpreters, app)
    with pytest.raises(ManifestError):
        interpreters.known(app)
    assert runs(log) == 1
    clock.now = 5.0
    assert interpreters.known(app) is None
    unfit(interpreters, app)
    assert runs(log) == 2


def test_a_mended_one_is_seen_at_once(tmp_path: Path, interpreters: Interpreters) -> None:
    """A broken environment works at once after it was recreated."""
    app = make_app(tmp_path / "shop")
    (app.dir / ".venv/bin").mkdir(parents=True)
    (app.dir / ".venv/bin/python").symlink_to("/nowhere/python3")
    unfit(interpreters, app)
    (app.dir / ".venv/bin/python").unlink()
    (app.dir / ".venv/bin").rmdir()
    (app.dir / ".venv").rmdir()
    packages = make_venv(app.dir / ".venv")
    assert interpreters.find(app).path == (str(packages),)
