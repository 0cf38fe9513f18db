#!/usr/bin/env python3
"""The tasks of this project: `python3 build.py TASK [ARGS...]`. Standard library only.

Each task makes the environment it needs, once, under `.venv/` beside this file, or in the folder
that BUILD_ENVIRONMENTS names, for checkouts that share them. To add a task, write a function that
takes its arguments and enter it in TASKS; its docstring is its help.

Any Python 3 can parse this file, so an old one prints a sentence instead of a SyntaxError.
"""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "build.py: Buntime needs Python 3.11 or newer, this is {}.{}; "
        "start build.py with a newer one, such as python3.11\n".format(*sys.version_info)
    )
    sys.exit(2)
if sys.platform == "win32":
    sys.stderr.write("build.py: Buntime runs on Linux and macOS, not on Windows (WSL works)\n")
    sys.exit(2)

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from artifacts.environments import BuildError, environment, say, site_packages

ROOT = Path(__file__).resolve().parent
# Tests with a browser, for `test --browser`. `test` without arguments leaves them out, because they
# take a quarter of the time of all others.
BROWSER = (
    "tests/e2e/panel",
    "tests/e2e/frames",
    "tests/e2e/access/test_sessions.py",
    "tests/e2e/access/test_session_attacks.py",
    "tests/e2e/access/test_beside_secrets.py",
    "tests/e2e/plugins/test_keyvalpage.py",
)


def run(args: list[str]) -> int:
    """Start the runtime on apps/, or on the folders in ARGS: run /srv/apps --port 9000"""
    python = environment("runtime")
    # A default, not an argument: folders among ARGS override it, and so does the caller's value.
    os.environ.setdefault("RUNTIME_WORKER_DIRS", str(ROOT / "apps"))
    become([str(python), str(ROOT / "buntime.py"), *args])


def test(args: list[str]) -> int:
    """Run the tests; ARGS go to pytest; --browser, --artifact FILE [--browser], --apps light,
    --chart, --kubernetes, --systemd"""
    os.chdir(ROOT)
    if args[:1] in (["--chart"], ["--kubernetes"]):
        from artifacts.charttools import tests_with_tools

        become(tests_with_tools(args[0].removeprefix("--"), args[1:]))
    python = environment("dev")
    if args[:1] == ["--systemd"]:
        become([str(python), "-m", "artifacts.nspawn", *args[1:]])
    paths = [f"--ignore={each}" for each in BROWSER]
    if args[:1] == ["--artifact"]:
        test_artifact(args[1:])
        args, paths = args[2:], ["tests/e2e/modes"]
    elif args[:1] == ["--apps"]:
        args, paths = test_apps(args[1:]), ["tests/apps"]
    if args[:1] == ["--browser"]:
        args, paths = [*BROWSER, *args[1:]] if args[1:] else [], [*BROWSER]
    if args:
        become([str(python), "-m", "pytest", *args])
    # Runs a few failed files again: tests/suite.py.
    become([str(python), "-m", "tests.suite", *paths, *spread()])


def test_artifact(args: list[str]) -> None:
    """Let the end-to-end tests use a file: `["dist/buntime.pyz"]`."""
    if not args or not os.access(args[0], os.X_OK):
        raise BuildError("--artifact needs a file to test: dist/buntime.pyz or dist/buntime")
    file = os.path.abspath(args[0])
    # Its first start unpacks it: here once, instead of in several processes of tests at a time.
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    if subprocess.run([file, "--version"], env=environ, check=False).returncode:
        raise BuildError(f"{file} does not start")
    os.environ["BUNTIME_UNDER_TEST"] = file


def test_apps(args: list[str]) -> list[str]:
    """Install the packages of tests/apps: `["light", "-k", "dash"]` -> the arguments of pytest."""
    kind, args = ("apps-light", args[1:]) if args[:1] == ["light"] else ("apps", args)
    os.environ["APPS_PYTHON"] = str(environment(kind))
    return ["tests/apps", *args] if args else []


def spread() -> list[str]:
    """Use all cores; five processes more than cores, because many tests wait for a time to pass.

    BUILD_PROCESSES says how many instead, for tests that share the machine with others.
    """
    return ["--processes", os.environ.get("BUILD_PROCESSES") or str((os.cpu_count() or 2) + 5)]


def chaos(args: list[str]) -> int:
    """Kill, stop, flood and redeploy under checked traffic: chaos --seconds 60 --seed 1"""
    module("tests.chaos", args)


def soak(args: list[str]) -> int:
    """Check that much recycling leaves nothing behind: soak --requests 200000"""
    module("tests.chaos.soak", args)


def kills(args: list[str]) -> int:
    """Kill processes that write state.db a thousand times, check what is left: kills --seed 1"""
    module("tests.kills", args)


def siege(args: list[str]) -> int:
    """Attack from one client or app, and time the others: siege empty-pings --rounds 5"""
    module("tests.siege", args)


def fuzz(args: list[str]) -> int:
    """Feed the parsers what no client or worker should send: fuzz --seconds 3600, --rounds 12"""
    module("tests.fuzz", args)


def bench(args: list[str]) -> int:
    """Measure Buntime and its rivals: bench warm-noop --rounds 5; --short for CI, --list, --help"""
    python = environment("runtime")
    os.chdir(ROOT)
    if not {"--short", "--report", "--scale", "--list", "--help", "-h"} & {*args}:
        os.environ["BENCH_PEERS"] = str(environment("bench"))
    become([str(python), "-m", "bench", *args])


def check(args: list[str]) -> int:
    """Check format, lint, types (mypy --strict) and the files of the chart"""
    if args:
        raise BuildError(f"check takes no arguments, got {shlex.join(args)}")
    python = str(environment("dev"))
    commands = [
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "mypy"],
        # Here buntime.py is the module `buntime`, so the package is not checked again.
        [python, "-m", "mypy", "--follow-imports=silent", "buntime.py", "build.py"],
        [python, "-m", "mypy", "--follow-imports=silent", "-p", "artifacts"],
        [python, "-m", "mypy", "--follow-imports=silent", "-p", "bench"],
        [python, "-m", "artifacts.chart", "--check"],
    ]
    failed = [command for command in commands if show_and_run(command)]
    for command in failed:
        print(f"build.py: failed: {shlex.join(command[2:])}", file=sys.stderr)
    return 1 if failed else 0


def lock(args: list[str]) -> int:
    """Write requirements/*.txt from pyproject.toml; lock --upgrade uses the newest versions"""
    uv = [str(environment("lock")), "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    # --universal: one file for all platforms and every Python from 3.11 on, told apart by markers.
    uv += ["--universal", "--python-version", "3.11", "--generate-hashes"]
    uv += ["--custom-compile-command", "python3 build.py lock", *args]
    runtime, dev = "requirements/runtime.txt", "requirements/dev.txt"
    peers, chart_ = "requirements/bench.txt", "requirements/chart.txt"
    commands = [
        [*uv, "pyproject.toml", "--output-file", runtime],
        [*uv, "pyproject.toml", "--group", "dev", "--constraint", runtime, "--output-file", dev],
        [*uv, "--group", "binary", "--output-file", "requirements/binary.txt"],
        [*uv, "--group", "bench", "--constraint", runtime, "--output-file", peers],
        [*uv, "--group", "lock", "--output-file", "requirements/lock.txt"],
        [*uv, "--group", "wheel", "--output-file", "requirements/wheel.txt"],
        [*uv, "--group", "apps-light", "--output-file", "requirements/apps-light.txt"],
        [*uv, "--group", "apps", "--output-file", "requirements/apps.txt"],
        [*uv, "pyproject.toml", "--group", "chart", "--constraint", dev, "--output-file", chart_],
        [*uv, "--no-deps", "--group", "helm", "--output-file", "requirements/helm.txt"],
        [*uv, "--group", "authn", "--output-file", "plugins/authn/requirements.lock"],
    ]
    return max(show_and_run(command) for command in commands)


def chart(args: list[str]) -> int:
    """Write the Helm chart's values, schema and questions from tables; --check only compares"""
    if args not in ([], ["--check"]):
        raise BuildError(f"chart takes --check or nothing, got {shlex.join(args)}")
    os.chdir(ROOT)
    become([str(environment("runtime")), "-m", "artifacts.chart", *args])


def pyz(args: list[str]) -> int:
    """Make dist/buntime.pyz, which needs only Python 3.11 or newer"""
    if args:
        raise BuildError(f"pyz takes no arguments, got {shlex.join(args)}")
    from artifacts.pyz import build

    target = ROOT / "dist/buntime.pyz"
    build(site_packages("runtime"), target)
    tell_of(target)
    return 0


def wheel(args: list[str]) -> int:
    """Make dist/buntime-VERSION-py3-none-any.whl, for pip install, and the sdist"""
    if args:
        raise BuildError(f"wheel takes no arguments, got {shlex.join(args)}")
    from artifacts.wheel import build

    for target in build(environment("wheel"), ROOT / "dist"):
        tell_of(target)
    return 0


def installed(args: list[str]) -> int:
    """Install the wheel with each Python from 3.11 on, and try the first steps of a user"""
    if args:
        raise BuildError(f"installed takes no arguments, got {shlex.join(args)}")
    from artifacts.pythons import examine
    from artifacts.wheel import build

    made, sdist = build(environment("wheel"), ROOT / "dist")
    return examined("installed", lambda: examine(made, sdist))


def binary(args: list[str]) -> int:
    """Make dist/buntime, which needs no Python: it contains the one that runs this"""
    if args:
        raise BuildError(f"binary takes no arguments, got {shlex.join(args)}")
    missing = [name for name in ("ldd", "objcopy", "objdump", "strip") if not shutil.which(name)]
    if sys.platform != "linux" or missing:
        raise BuildError(f"the binary is built on Linux, with binutils; lacking: {missing}")
    from artifacts.binary import build

    target = ROOT / "dist/buntime"
    build(site_packages("runtime"), environment("binary"), target)
    tell_of(target)
    return 0


def image(args: list[str]) -> int:
    """Build the container image and run it, where buildah is; says so if it is skipped"""
    if args:
        raise BuildError(f"image takes no arguments, got {shlex.join(args)}")
    from artifacts.image import examine

    return examined("image", examine)


def newcomer(args: list[str]) -> int:
    """Follow the first half hour of docs/operating.md, with dist/buntime in a bare Debian"""
    if args:
        raise BuildError(f"newcomer takes no arguments, got {shlex.join(args)}")
    target = ROOT / "dist/buntime"
    if not target.exists():
        raise BuildError("there is no dist/buntime: `python3 build.py binary` makes it")
    from artifacts.newcomer import walk

    return examined("newcomer", lambda: walk(target))


def examined(name: str, steps: Callable[[], Iterable[str]]) -> int:
    """Print the lines of an examination; returns 1 if it finds a fault, 0 if it was skipped."""
    from artifacts.image import Faulty, Skipped

    try:
        for line in steps():
            print(line, flush=True)
    except Skipped as reason:
        print(f"{name}: skipped, nothing was tried: {reason}")
    except Faulty as fault:
        say(f"{name} failed: {fault}")
        return 1
    return 0


def tutorial(args: list[str]) -> int:
    """Follow the README and docs/tutorial.md in a bare Debian, within a quarter of an hour"""
    if args:
        raise BuildError(f"tutorial takes no arguments, got {shlex.join(args)}")
    from artifacts.tutorial import walk

    return examined("tutorial", walk)


def pictures(args: list[str]) -> int:
    """Take the pictures of the control panel for docs/, and measure its first page"""
    if args:
        raise BuildError(f"pictures takes no arguments, got {shlex.join(args)}")
    module("tests.pictures", args)


def figures(args: list[str]) -> int:
    """Make both files, and compare their size and start-up with the checkout"""
    if pyz(args) or binary(args):
        return 1
    from artifacts.figures import table

    for line in table(str(environment("runtime")), ROOT):
        print(line, flush=True)
    return 0


TASKS = {
    "run": run,
    "test": test,
    "chaos": chaos,
    "soak": soak,
    "kills": kills,
    "siege": siege,
    "fuzz": fuzz,
    "bench": bench,
    "check": check,
    "lock": lock,
    "chart": chart,
    "pyz": pyz,
    "wheel": wheel,
    "installed": installed,
    "binary": binary,
    "image": image,
    "newcomer": newcomer,
    "tutorial": tutorial,
    "figures": figures,
    "pictures": pictures,
}


def become(command: list[str]) -> NoReturn:
    """Turn this process into `command`, so that signals and the exit code are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)


def module(name: str, args: list[str]) -> NoReturn:
    """Turn this process into `python -m NAME ARGS` in the environment of the tests."""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", name, *args])


def tell_of(target: Path) -> None:
    """Say what was made: size and hash."""
    data = target.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    print(f"{target.relative_to(ROOT)}  {len(data) / 1e6:.2f} MB  sha256 {digest}")


def show_and_run(command: list[str]) -> int:
    """Print a command line and run it; returns its exit code."""
    print(f"+ {shlex.join(command[2:])}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def usage() -> str:
    """What `build.py`, `build.py --help` print."""
    lines = [f"  {name:<6} {task.__doc__}" for name, task in TASKS.items()]
    return "\n".join(["usage: python3 build.py TASK [ARGS...]", "", *lines])


def main(argv: list[str]) -> int:
    """Run one task; returns its exit code, or 2 if it could not be started."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    if argv[0] not in TASKS:
        say(f"no task {argv[0]!r}; there are {', '.join(TASKS)}")
        return 2
    try:
        return TASKS[argv[0]](argv[1:])
    except (BuildError, OSError) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
