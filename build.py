#!/usr/bin/env python3
"""The tasks of this project: `python3 build.py TASK [ARGS...]`. Standard library only.

Each task makes the environment it needs, once, under `.venv/` beside this file, or in the folder
that BUILD_ENVIRONMENTS names, for checkouts that share them. To add a task, write a function that
takes its arguments and enter it in TASKS; its docstring is its help.

Any Python 3 can read this file, so that an old one gets a sentence instead of a SyntaxError.
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

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "requirements"
ENVIRONMENTS = Path(os.environ.get("BUILD_ENVIRONMENTS") or ROOT / ".venv").absolute()


class BuildError(Exception):
    """A task cannot go on; the message says what is missing and what to do."""


def run(args: list[str]) -> int:
    """Start the runtime on apps/, or on the folders in ARGS: run /srv/apps --port 9000"""
    python = environment("runtime")
    # A default, not an argument: folders among ARGS win over it, so does the caller's own value.
    os.environ.setdefault("RUNTIME_WORKER_DIRS", str(ROOT / "apps"))
    become([str(python), str(ROOT / "buntime.py"), *args])


def test(args: list[str]) -> int:
    """Run the tests; ARGS go to pytest: test -k router -x; --artifact FILE; --apps, --apps light"""
    python = environment("dev")
    os.chdir(ROOT)
    paths = []
    if args[:1] == ["--artifact"]:
        test_artifact(args[1:])
        args, paths = args[2:], ["tests/e2e/modes"]
    elif args[:1] == ["--apps"]:
        args, paths = test_apps(args[1:]), ["tests/apps"]
    if args:
        become([str(python), "-m", "pytest", *args])
    # Few that fail are run once more: tests/suite.py.
    become([str(python), "-m", "tests.suite", *paths, *spread(), "--no-loadscope-reorder"])


def test_artifact(args: list[str]) -> None:
    """Have the end-to-end tests use a file: `["dist/buntime.pyz"]`."""
    if not args or not os.access(args[0], os.X_OK):
        raise BuildError("--artifact needs a file to test: dist/buntime.pyz or dist/buntime")
    os.environ["BUNTIME_UNDER_TEST"] = os.path.abspath(args[0])


def test_apps(args: list[str]) -> list[str]:
    """Give tests/apps their packages: `["light", "-k", "dash"]` -> the arguments of pytest."""
    kind, args = ("apps-light", args[1:]) if args[:1] == ["light"] else ("apps", args)
    os.environ["APPS_PYTHON"] = str(environment(kind))
    return ["tests/apps", *args] if args else []


def spread() -> list[str]:
    """The suite runs on all cores, a file's tests in one process: they share a runtime.

    Four processes more than cores, as many tests wait for a time to pass.
    """
    return ["-n", str((os.cpu_count() or 2) + 4), "--dist", "loadfile"]


def chaos(args: list[str]) -> int:
    """Kill, stop, flood and redeploy under checked traffic: chaos --seconds 60 --seed 1"""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.chaos", *args])


def soak(args: list[str]) -> int:
    """See that much recycling leaves nothing behind: soak --requests 200000"""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.chaos.soak", *args])


def kills(args: list[str]) -> int:
    """Kill what writes state.db a thousand times, look at what is left: kills --seed 1"""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.kills", *args])


def siege(args: list[str]) -> int:
    """Attack by one client or app, and time the others: siege empty-pings --rounds 5"""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.siege", *args])


def fuzz(args: list[str]) -> int:
    """Feed the parsers what no client or worker should send: fuzz --seconds 3600 --seed 1"""
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.fuzz", *args])


def bench(args: list[str]) -> int:
    """Measure Buntime beside others: bench warm-noop --rounds 5; --short for CI, --list, --help"""
    python = environment("runtime")
    os.chdir(ROOT)
    if not {"--short", "--report", "--list", "--help", "-h"} & {*args}:
        os.environ["BENCH_PEERS"] = str(environment("bench"))
    become([str(python), "-m", "bench", *args])


def check(args: list[str]) -> int:
    """Check format, lint, types (mypy --strict) and the direction of imports"""
    if args:
        raise BuildError(f"check takes no arguments, got {shlex.join(args)}")
    python = str(environment("dev"))
    commands = [
        [python, "-m", "ruff", "format", "--check", "."],
        [python, "-m", "ruff", "check", "."],
        [python, "-m", "mypy"],
        # Here buntime.py is the module `buntime`, so what imports the package is not judged again.
        [python, "-m", "mypy", "--follow-imports=silent", "buntime.py", "build.py"],
        [python, "-m", "mypy", "--follow-imports=silent", "-p", "artifacts"],
        [python, "-m", "mypy", "--follow-imports=silent", "-p", "bench"],
        [python, "-m", "pytest", "-q", "tests/test_layers.py"],
    ]
    failed = [command for command in commands if show_and_run(command)]
    for command in failed:
        print(f"build.py: failed: {shlex.join(command[2:])}", file=sys.stderr)
    return 1 if failed else 0


def lock(args: list[str]) -> int:
    """Write requirements/*.txt from pyproject.toml; lock --upgrade takes the newest versions"""
    uv = [str(environment("lock")), "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    # --universal: one file for all platforms and every Python from 3.11 on, told apart by markers.
    uv += ["--universal", "--python-version", "3.11", "--generate-hashes"]
    uv += ["--custom-compile-command", "python3 build.py lock", *args]
    runtime, dev = "requirements/runtime.txt", "requirements/dev.txt"
    peers = "requirements/bench.txt"
    commands = [
        [*uv, "pyproject.toml", "--output-file", runtime],
        [*uv, "pyproject.toml", "--group", "dev", "--constraint", runtime, "--output-file", dev],
        [*uv, "--group", "binary", "--output-file", "requirements/binary.txt"],
        [*uv, "--group", "bench", "--constraint", runtime, "--output-file", peers],
        [*uv, "--group", "lock", "--output-file", "requirements/lock.txt"],
        [*uv, "--group", "apps-light", "--output-file", "requirements/apps-light.txt"],
        [*uv, "--group", "apps", "--output-file", "requirements/apps.txt"],
        [*uv, "--group", "authn", "--output-file", "plugins/authn/requirements.lock"],
    ]
    return max(show_and_run(command) for command in commands)


def pyz(args: list[str]) -> int:
    """Make dist/buntime.pyz, which needs nothing but Python 3.11 or newer"""
    if args:
        raise BuildError(f"pyz takes no arguments, got {shlex.join(args)}")
    from artifacts.pyz import build

    target = ROOT / "dist/buntime.pyz"
    build(site_packages("runtime"), target)
    tell_of(target)
    return 0


def binary(args: list[str]) -> int:
    """Make dist/buntime, which needs no Python: it carries the one that runs this"""
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
    """Build the container image and run it, where buildah is; says so where it is skipped"""
    if args:
        raise BuildError(f"image takes no arguments, got {shlex.join(args)}")
    from artifacts.image import Faulty, Skipped, examine

    try:
        for line in examine():
            print(line, flush=True)
    except Skipped as reason:
        print(f"image: skipped, nothing was built or run: {reason}")
    except Faulty as fault:
        say(f"the image is at fault: {fault}")
        return 1
    return 0


def newcomer(args: list[str]) -> int:
    """Do what docs/operating.md tells of the first half hour, with dist/buntime in a bare Debian"""
    if args:
        raise BuildError(f"newcomer takes no arguments, got {shlex.join(args)}")
    target = ROOT / "dist/buntime"
    if not target.exists():
        raise BuildError("there is no dist/buntime: `python3 build.py binary` makes it")
    from artifacts.image import Faulty, Skipped
    from artifacts.newcomer import walk

    try:
        for line in walk(target):
            print(line, flush=True)
    except Skipped as reason:
        print(f"newcomer: skipped, nothing was tried: {reason}")
    except Faulty as fault:
        say(f"docs/operating.md does not hold: {fault}")
        return 1
    return 0


def pictures(args: list[str]) -> int:
    """Take the pictures of the control panel in docs/, and measure what its first page costs"""
    if args:
        raise BuildError(f"pictures takes no arguments, got {shlex.join(args)}")
    python = environment("dev")
    os.chdir(ROOT)
    become([str(python), "-m", "tests.pictures"])


def figures(args: list[str]) -> int:
    """Make both files, and measure size, start-up and latency beside the checkout's"""
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
    "pyz": pyz,
    "binary": binary,
    "image": image,
    "newcomer": newcomer,
    "figures": figures,
    "pictures": pictures,
}


def become(command: list[str]) -> NoReturn:
    """Turn this process into `command`, so that signals and the exit code are its own."""
    sys.stdout.flush()
    os.execv(command[0], command)


def tell_of(target: Path) -> None:
    """Say what was made: size and hash."""
    data = target.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    print(f"{target.relative_to(ROOT)}  {len(data) / 1e6:.2f} MB  sha256 {digest}")


def show_and_run(command: list[str]) -> int:
    print(f"+ {shlex.join(command[2:])}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


# The environments. A folder's name holds everything that decides its content: kind, interpreter
# and lock file. So it is made once, never changed, and no running process loses its packages.
# `complete` is written last: without it, a set-up was interrupted and is done again.


def environment(kind: str) -> Path:
    """The Python of the environment with what requirements/KIND.txt pins, made where missing."""
    requirements = REQUIREMENTS / f"{kind}.txt"
    source = (requirements.read_bytes(), sys.version.encode(), os.fsencode(sys.base_prefix))
    digest = hashlib.sha256(b"\0".join(source)).hexdigest()[:10]
    name = "py{}{}-{}-{}".format(*sys.version_info[:2], kind, digest)
    folder = ENVIRONMENTS / name
    complete = folder / "complete"
    if not complete.exists():
        ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
        with locked(ENVIRONMENTS / f"{name}.lock"):
            if not complete.exists():
                make_environment(folder, requirements)
                complete.touch()
    return folder / "bin" / "python"


def site_packages(kind: str) -> Path:
    """Where the packages of an environment lie."""
    lib = environment(kind).parents[1] / "lib"
    return lib / "python{}.{}".format(*sys.version_info) / "site-packages"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system drops it when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build.py that is making the same environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_environment(folder: Path, requirements: Path) -> None:
    """Make a virtual environment and install into it what the lock file pins, checked by hash."""
    say(f"making {folder}")
    if folder.exists():
        shutil.rmtree(folder)
    pip = make_venv(folder)
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes"]
    command = [*pip, "install", *options, "--requirement", str(requirements)]
    # A user's configuration may ask for --user, which pip refuses inside an environment.
    if subprocess.run(command, env={**os.environ, "PIP_USER": "0"}, check=False).returncode:
        raise BuildError(
            f"pip could not install {requirements.relative_to(ROOT)}, its reason stands above; "
            "this first set-up needs a package index: check the network or pip's configuration"
        )


def make_venv(folder: Path) -> list[str]:
    """Make an empty environment; gives the command that is pip for it."""
    found = {name for name in ("venv", "ensurepip", "pip") if importlib.util.find_spec(name)}
    python = str(folder / "bin" / "python")
    if found >= {"venv", "ensurepip"}:
        options, pip = [], [python, "-m", "pip"]
    elif found >= {"venv", "pip"}:  # Debian without python3-venv, but with python3-pip
        options, pip = ["--without-pip"], [sys.executable, "-m", "pip", "--python", python]
    else:
        lacking = "no venv" if "venv" not in found else "neither ensurepip nor pip"
        raise BuildError(
            f"{sys.executable} has {lacking}, so no environment can be made.\n"
            "Debian, Ubuntu: apt install python3-venv; elsewhere install the full Python."
        )
    command = [sys.executable, "-m", "venv", *options, str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise BuildError(f"no environment: this failed, see above: {shlex.join(command)}")
    return pip


def say(message: str) -> None:
    print(f"build.py: {message}", file=sys.stderr, flush=True)


def usage() -> str:
    """What `build.py`, `build.py --help` print."""
    lines = [f"  {name:<6} {task.__doc__}" for name, task in TASKS.items()]
    return "\n".join(["usage: python3 build.py TASK [ARGS...]", "", *lines])


def main(argv: list[str]) -> int:
    """Run one task; the exit code is its own, or 2 where it could not be started."""
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
