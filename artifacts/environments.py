"""The environments of build.py's tasks: one for each file of requirements/, made once.

A folder's name holds everything that decides its content: kind, interpreter and lock file. So it
is made once, never changed, and no running process loses its packages. `complete` is written last:
without it, a set-up was interrupted and is done again.

uv installs them, in a quarter of the processor time that pip needs, and without unpacking a package
twice. pip installs uv itself, and what `build.py run` needs, since that is less than uv. It also
installs the others where uv cannot: it has settings that uv does not read, and runs everywhere.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
ENVIRONMENTS = Path(os.environ.get("BUILD_ENVIRONMENTS") or ROOT / ".venv").absolute()
BY_PIP = ("lock", "runtime")
# Putting pip into an environment takes twice as much processor time as installing uv. The runtime's
# has it for the environments of apps, which are made with the runtime's Python.
WITHOUT_PIP = ("lock",)
# Apps start many times in tests, in sandboxes where they cannot write the bytecode of their
# packages. Elsewhere the first start writes it, and only of what it imports.
COMPILED = ("dev", "apps-light", "apps")


class BuildError(Exception):
    """A task cannot go on; the message says what is missing and what to do."""


def environment(kind: str) -> Path:
    """The Python of the environment with what requirements/KIND.txt pins, created if missing."""
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
                say(f"making {folder}")
                if kind in BY_PIP or not make_with_uv(folder, requirements, kind in COMPILED):
                    make_environment(folder, requirements, has_pip=kind not in WITHOUT_PIP)
                complete.touch()
    return folder / "bin" / "python"


def site_packages(kind: str) -> Path:
    """Where the packages of an environment are."""
    lib = environment(kind).parents[1] / "lib"
    return lib / "python{}.{}".format(*sys.version_info) / "site-packages"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process ends, in whatever way."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build.py that is making the same environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_with_uv(folder: Path, requirements: Path, is_compiled: bool) -> bool:
    """Do what `make_environment` does, with uv; returns whether it could."""
    try:
        tools = environment("lock")
    except BuildError as exc:  # some package indexes have no uv
        say(f"no uv ({exc}); now pip alone")
        return False
    empty_venv(folder, ["--without-pip"])
    command = [str(tools), "-m", "uv", "pip", "install", "--quiet", "--no-config"]
    command += ["--python", str(folder / "bin" / "python"), "--require-hashes", "--no-deps"]
    command += ["--compile-bytecode"] if is_compiled else []
    # What packages of several environments have in common is stored once.
    env = {**os.environ, "UV_CACHE_DIR": str(ENVIRONMENTS / "uv")}
    done = subprocess.run([*command, "--requirement", str(requirements)], env=env, check=False)
    if done.returncode:
        say("uv could not, see above; now pip, which reads pip's settings")
    return done.returncode == 0


def make_environment(folder: Path, requirements: Path, *, has_pip: bool = True) -> None:
    """Make a virtual environment and install into it what the lock file pins, checked by hash.

    Without `has_pip` it has no pip itself, if this Python's can install into it.
    """
    pip = make_venv(folder, has_pip=has_pip)
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes"]
    options += ["--no-deps"]  # a lock file has all of them, and helm's are not wanted
    command = [*pip, "install", *options, "--requirement", str(requirements)]
    # A user's configuration may ask for --user, which pip refuses inside an environment.
    if subprocess.run(command, env={**os.environ, "PIP_USER": "0"}, check=False).returncode:
        raise BuildError(
            f"pip could not install {requirements.relative_to(ROOT)}, its reason stands above; "
            "this first set-up needs a package index: check the network or pip's configuration"
        )


def make_venv(folder: Path, *, has_pip: bool = True) -> list[str]:
    """Make an empty environment; returns the pip command for it."""
    found = {name for name in ("venv", "ensurepip", "pip") if importlib.util.find_spec(name)}
    python = str(folder / "bin" / "python")
    runner = pip_runner()
    if "venv" in found and runner and not has_pip:
        options, pip = ["--without-pip"], [python, runner]
    elif found >= {"venv", "ensurepip"}:
        options, pip = [], [python, "-m", "pip"]
    elif found >= {"venv", "pip"}:  # Debian without python3-venv, but with python3-pip
        options, pip = ["--without-pip"], [sys.executable, "-m", "pip", "--python", python]
    else:
        lacking = "no venv" if "venv" not in found else "neither ensurepip nor pip"
        raise BuildError(
            f"{sys.executable} has {lacking}, so no environment can be made.\n"
            "Debian, Ubuntu: apt install python3-venv; elsewhere install the full Python."
        )
    empty_venv(folder, options)
    return pip


def pip_runner() -> str:
    """The script by which another Python runs this one's pip; "" if there is none."""
    spec = importlib.util.find_spec("pip")
    for folder in (spec and spec.submodule_search_locations) or ():
        runner = Path(folder, "__pip-runner__.py")
        if runner.exists():
            return str(runner)
    return ""


def empty_venv(folder: Path, options: list[str]) -> None:
    """Make one with `python -m venv`, in the place of one that is there."""
    if folder.exists():
        shutil.rmtree(folder)
    command = [sys.executable, "-m", "venv", *options, str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise BuildError(f"no environment: this failed, see above: {shlex.join(command)}")


def say(message: str) -> None:
    """Print to stderr what a task does or why it ends."""
    sys.stderr.write(f"build.py: {message}\n")
    sys.stderr.flush()
