"""Makes a virtual environment and installs packages into it, by a Python's own venv and pip, or uv.

The environment is made without pip, and the other Python's pip, run by the environment's Python,
installs into it: on CPython 3.11 venv takes 0.1 s without pip and 9 s with it. A Python without
such a pip may have ensurepip, as Debian's with python3-venv. Its pip is a wheel, which is run as it
is: that takes 2.8 s of processor time for a small package, and 8.0 s once it has been installed.

Only wheels are installed, unless the lock file says otherwise (`--no-binary NAME`, or the path or
URL of a source): building a package takes minutes and a compiler, and runs its author's code.

All of this is done by a thread in the app's sandbox, see `Installer`.

venv, pip and uv run below _GUARD, which ends them, with everything they started, when its stdin
closes: that happens when this process dies, in whatever way.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO

from buntime.core.values.enums import Enum
from buntime.core.values.regex import regex
from buntime.sdk.credentialnames import is_blocked
from buntime.server.pythons.confinement import Workshop
from buntime.server.pythons.identity import options_of
from buntime.server.pythons.inquiry import ask
from buntime.server.pythons.uv import UvSource, uv_commands, uv_variables

_POLL_S = 0.05
_TOOLS_TIMEOUT_S = 10.0  # as for the first look at an interpreter
_PIP_MINIMUM = (22, 3)  # knows --python
_TAIL_BYTES = 8192
_TAIL_LINES = 6  # enough for the whole message about a wrong hash
_LINE_CHARS = 300

# What pip needs to reach an index and its own cache.
_PASSED = frozenset(
    "PATH HOME LANG TZ TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS "
    "SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE".split()
)
_FOLDERS = frozenset("TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME".split())
_PROXIES = frozenset(("http_proxy", "https_proxy", "all_proxy", "no_proxy"))  # in any case
# PIP_* is passed as well, except what would make pip install outside of the environment.
_DIVERTING = frozenset(("PIP_PREFIX", "PIP_PYTHON", "PIP_ROOT", "PIP_TARGET", "PIP_USER"))

_PIP_OPTIONS = "--no-input --disable-pip-version-check --progress-bar=off --only-binary=:all:"
_ADVICE = (
    "Debian, Ubuntu: apt install python3-venv; elsewhere install the full Python, "
    "or name another one as `python`"
)

# Without the modules `signal` and `threading`, which take longer than all of this.
_GUARD = f"""
import _thread, os, sys
def watch():
    os.read(0, 1)
    os.killpg(0, {int(signal.SIGKILL)})
_thread.start_new_thread(watch, ())
del sys.argv[0]
"""


class _Kind(Enum):
    """What a step runs, and the code that runs it: pip in a wheel, for example."""

    MODULE = 'import runpy; runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)'
    WHEEL = (
        "sys.path.insert(0, sys.argv[0]); import runpy; "
        'runpy.run_module("pip", run_name="__main__", alter_sys=True)'
    )
    SCRIPT = 'import runpy; runpy.run_path(sys.argv[0], run_name="__main__")'
    PROGRAM = "import subprocess; sys.exit(subprocess.call(sys.argv) != 0)"


# `pip --python` starts another process with `__pip-runner__.py`, and each takes half a second to
# import pip.
_TOOLS = """
import json, os
from importlib.util import find_spec
tools = {name: find_spec(name) is not None for name in ("venv", "ensurepip")}
try:
    import pip
    runner = os.path.join(os.path.dirname(pip.__file__), "__pip-runner__.py")
    tools["pip"] = pip.__version__
    tools["runner"] = runner if os.path.isfile(runner) else ""
except (ImportError, AttributeError):
    tools["pip"] = ""
if tools["ensurepip"] and not tools.get("runner"):
    import ensurepip, sysconfig
    wheel = "pip-%s-py3-none-any.whl" % ensurepip.version()
    places = [sysconfig.get_config_var("WHEEL_PKG_DIR"), ensurepip.__path__[0] + "/_bundled"]
    places = [os.path.join(place, wheel) for place in places if place]  # of Debian, of all others
    tools["wheel"] = next(filter(os.path.isfile, places), "")
print(json.dumps(tools))
"""


# What pip and uv say of a package that is not for this Python.
_OTHER_PYTHON = regex(r"requires a different Python|require a different python|Requires-Python")


class InstallFailed(Exception):
    """An environment could not be made; says why, and what to do."""


@dataclass(frozen=True)
class Recipe:
    """An environment to make in `folder`, which exists and contains the lock file."""

    folder: Path
    python: str  # that makes it
    lock_name: str
    checks_hashes: bool
    uv: UvSource | None  # if pip does not install it
    working_dir: Path  # that paths in the lock file count from
    workshop: Workshop  # as which user, and in which sandbox, it is made

    @property
    def executable(self) -> str:
        """The Python of the environment."""
        return str(self.folder / "bin/python")

    @property
    def output(self) -> Path:
        """The file for the output of venv and pip."""
        return self.folder / "install.log"


@dataclass(frozen=True)
class _Step:
    """What is to run, and the message if that fails."""

    command: tuple[str, ...]  # interpreter; module, script or program; arguments
    failure: str
    kind: _Kind = _Kind.MODULE


def make_environment(
    recipe: Recipe, *, environ: Mapping[str, str], limit_s: float, cancelled: Event
) -> None:
    """Make it and install what the lock file says, within `limit_s`.

    `environ` is the runtime's own environment, of which venv and pip get little. Raises
    InstallFailed, and OSError if the folder cannot be written.
    """
    env = install_environment(environ, recipe.workshop)
    if recipe.uv is not None:
        env |= uv_variables(environ, recipe.workshop.scratch)
    steps = _steps(recipe, _find_tools(recipe, env, cancelled))
    deadline = time.monotonic() + limit_s
    with recipe.output.open("wb") as output:
        for step in steps:
            problem = _run(step, recipe, env, output, deadline, cancelled)
            if cancelled.is_set():
                raise InstallFailed("the runtime is ending")
            if problem:
                tail = _tail(recipe.output)
                if _OTHER_PYTHON.search(tail):
                    problem = (
                        f"{recipe.python} is too old or too new for a package in "
                        f"{recipe.lock_name}; name another `python` in the manifest, or lock "
                        "another version of the package"
                    )
                raise InstallFailed(f"{problem}; {recipe.output} ends with:{tail}")


def install_environment(environ: Mapping[str, str], workshop: Workshop) -> dict[str, str]:
    """The variables that venv and pip get from `environ`: no secrets except those meant for pip.

    Another user gets none that name folders of this one. In a sandbox pip uses the app's own cache:
    a cache shared by apps could contain what another app has put there.
    """
    user, scratch = workshop.user, workshop.scratch
    passed = {name: value for name, value in environ.items() if _is_passed(name)}
    if user is not None:
        passed = {name: value for name, value in passed.items() if name not in _FOLDERS}
        passed["HOME"] = user.home
    if scratch is not None:
        passed |= {"TMPDIR": scratch, "PIP_CACHE_DIR": f"{scratch}/pip"}
    return passed | {"PIP_USER": "0"}  # a user's settings may ask for --user


def _is_passed(name: str) -> bool:
    if name.startswith("PIP_"):
        return name not in _DIVERTING and not is_blocked(name)
    return name in _PASSED or name.lower() in _PROXIES


# What to run


@dataclass(frozen=True)
class _Tools:
    """What a Python can make environments with."""

    venv: bool
    ensurepip: bool
    pip: str  # its version, "" for none
    runner: str = ""  # pip's script for other Pythons, if its place is known
    wheel: str = ""  # ensurepip's pip, if its place is known


def _find_tools(recipe: Recipe, env: Mapping[str, str], cancelled: Event) -> _Tools:
    python = recipe.python
    try:
        answer = ask(
            [python, "-I", "-c", _TOOLS],
            env=env,
            timeout_s=_TOOLS_TIMEOUT_S,
            user=recipe.workshop.user,
            cancelled=cancelled,
        )
        if answer.is_late or answer.returncode:
            raise ValueError(answer.text.strip() or "no answer")
        *_, tools = ("", *(line for line in answer.text.splitlines() if line.startswith("{")))
        return _Tools(**json.loads(tools))
    except (OSError, ValueError, TypeError, RecursionError) as exc:
        raise InstallFailed(f"{python} cannot be checked for venv and pip: {exc}") from exc


def _steps(recipe: Recipe, tools: _Tools) -> tuple[_Step, ...]:
    python = recipe.python
    if not tools.venv:
        raise InstallFailed(f"{python} has no venv to make an environment with; {_ADVICE}")
    if recipe.uv is not None:
        return _steps_with_uv(recipe, recipe.uv)
    options: tuple[str, ...] = ("--without-pip",)
    pip: tuple[str, ...]
    kind = _Kind.MODULE
    if _knows_python_option(tools.pip) and tools.runner:
        pip, kind = (recipe.executable, tools.runner), _Kind.SCRIPT
    elif _knows_python_option(tools.pip):
        pip = (python, "pip", "--python", recipe.executable)
    elif tools.wheel:
        pip, kind = (recipe.executable, tools.wheel), _Kind.WHEEL
    elif tools.ensurepip:
        pip, options = (recipe.executable, "pip"), ()
    else:
        lack = f"pip {tools.pip} and no ensurepip" if tools.pip else "neither ensurepip nor pip"
        needed = ".".join(map(str, _PIP_MINIMUM))
        raise InstallFailed(f"{python} has {lack}; pip {needed} would do, too; {_ADVICE}")
    lock = str(recipe.folder / recipe.lock_name)
    hashes = ("--require-hashes",) if recipe.checks_hashes else ()
    return (
        _make(recipe, *options),
        _Step(
            (*pip, "install", *_PIP_OPTIONS.split(), *hashes, "--requirement", lock),
            f"pip cannot install {recipe.lock_name}; "
            "correct that file, or check the network and pip's settings",
            kind,
        ),
    )


def _steps_with_uv(recipe: Recipe, source: UvSource) -> tuple[_Step, ...]:
    failure = f"uv cannot install {recipe.lock_name}; lock anew, or check the network"
    commands = uv_commands(source, recipe.folder, recipe.executable)
    run = [_Step((recipe.python, *each), failure, _Kind.PROGRAM) for each in commands]
    return (_make(recipe, "--without-pip"), *run)


def _make(recipe: Recipe, *options: str) -> _Step:
    python = recipe.python
    command = (python, "venv", *options, str(recipe.folder))
    return _Step(command, f"{python} cannot make an environment")


def _knows_python_option(version: str) -> bool:
    """`"23.0.1"` -> True, `"22.2"`, `""` -> False."""
    numbers = version.split(".")[:2]
    return all(map(str.isdecimal, numbers)) and tuple(map(int, numbers)) >= _PIP_MINIMUM


# How it is run


def _run(
    step: _Step,
    recipe: Recipe,
    env: Mapping[str, str],
    output: IO[bytes],
    deadline: float,
    cancelled: Event,
) -> str:
    """Run to the end; returns the message for a failure, or nothing."""
    python, *arguments = step.command
    with subprocess.Popen(
        [python, "-I", "-X", "utf8", "-c", _GUARD + step.kind.value, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=recipe.working_dir,
        env=env,
        start_new_session=True,
        **options_of(recipe.workshop.user),
    ) as process:
        while process.poll() is None:
            if cancelled.wait(_POLL_S):
                os.killpg(process.pid, signal.SIGKILL)
            elif time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                return f"{step.failure}; it took too long and was stopped"
    return step.failure if process.returncode else ""


def _tail(output: Path) -> str:
    """The last lines of a file, each on its own line: from pip's first error on, if there is
    one."""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - _TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    errors = ("ERROR:", "error:")  # of pip, of uv
    first = next((i for i, line in enumerate(lines) if line.startswith(errors)), -_TAIL_LINES)
    return "".join(_indented(lines[first:][:_TAIL_LINES])) or " nothing"


def _indented(lines: Iterable[str]) -> Iterable[str]:
    return (f"\n    {line[:_LINE_CHARS]}" for line in lines)
