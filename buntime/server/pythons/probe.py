"""Runs an interpreter once, to learn what it is, and what its workers may import.

It may be any program: one that hangs, that writes without end, that leaves a child behind with its
output, or that tells lies. What it says counts for the apps that chose it, and for them alone.
"""

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from buntime.core.values.wording import shown
from buntime.server.pythons.identity import Identity, options_of
from buntime.server.pythons.users import User

MINIMUM = (3, 9)

_TIMEOUT_S = 10.0  # a cold interpreter on a slow disk takes two
_POLL_S = 0.05
_END_POLL_S = 0.002  # an interpreter that has said all ends soon
_OUTPUT_MAX_BYTES = 256 * 1024  # what is no Python may never stop to write
_PATH_MAX = 1000  # they are looked at again and again
_MARK = "buntime-probe:"
_ENV = ("PATH", "HOME", "LANG", "TZ")  # as for workers: .pth files can run code

# Runs in the interpreter in question, which may be any Python that knows -I (3.4).
_PROBE = f"""
import json, sys
bare = list(sys.path)
import site
site.main()
print("\\n{_MARK}" + json.dumps({{
    "executable": sys.executable,
    "version": sys.version_info[:3],
    "path": [p for p in sys.path if p not in bare],
    "prefix": sys.prefix,
}}))
"""


class Interpreter(NamedTuple):
    """A Python for workers. `path` are its `sys.path` entries beyond the standard library.

    `user` is whom an app's workers become in it, None for who they are.
    """

    executable: str
    version: str  # "3.11.7"
    path: tuple[str, ...]
    prefix: str | None  # what `sys.prefix` should say: that of a virtual environment
    user: User | None = None


def probe(
    executable: str,
    environ: Mapping[str, str],
    *,
    user: Identity | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> Interpreter | str:
    """Run `executable` as `user` to see what it is; a string says why it is unfit."""
    env = {name: environ[name] for name in _ENV if name in environ}
    if user is not None:
        env["HOME"] = user.home
    try:
        process = subprocess.Popen(
            [executable, "-I", "-S", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            cwd="/",
            start_new_session=True,
            **options_of(user),
        )
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        return f"{executable} cannot be run: {reason or exc}"
    output, is_late = _collect(process, time.monotonic() + timeout_s)
    if is_late:
        return f"{executable} gave no answer within {timeout_s:g} s"
    return _read_answer(executable, output, process.returncode)


def _collect(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[str, bool]:
    """What a process writes, and whether it had to be stopped for being late.

    A child of it may keep its output open: nobody waits for that one, and it is killed.
    """
    output = b""
    with process, selectors.DefaultSelector() as selector:
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(output) < _OUTPUT_MAX_BYTES and time.monotonic() < deadline:
            has_ended = _has_ended(process)  # before the look: then nothing more comes
            if selector.select(_POLL_S):
                piece = os.read(process.stdout.fileno(), _OUTPUT_MAX_BYTES - len(output))
                if not piece:
                    break
                output += piece
            elif has_ended:
                break
        while not (has_ended := _has_ended(process)) and time.monotonic() < deadline:
            if len(output) == _OUTPUT_MAX_BYTES:
                break
            time.sleep(_END_POLL_S)
        is_late = not has_ended and len(output) < _OUTPUT_MAX_BYTES
        _kill(process)
    return output.decode("utf-8", "replace"), is_late


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Without reaping it: while it is there, its number is that of its group and no other's."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started: pyenv's python is a script that runs another."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS gives the latter for what has ended
        pass


def _read_answer(executable: str, output: str, returncode: int) -> Interpreter | str:
    answers = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not answers:
        said = output.strip().splitlines() or [f"exit code {returncode}"]
        return f"{executable} is no Python 3: {shown(said[-1])}"
    try:
        answer = _Answer(**json.loads(answers[-1].removeprefix(_MARK)))
        numbers = tuple(map(int, answer.version))
        path = tuple(dict.fromkeys(filter(None, map(_path, answer.path))))
        found = _path(answer.executable or executable)
        prefix = _path(answer.prefix)
    except (ValueError, TypeError, RecursionError):
        return f"{executable} is no Python 3: {shown(answers[-1])}"
    version = ".".join(map(str, numbers))
    if len(path) > _PATH_MAX:
        return f"{executable} has {len(path)} folders of packages; {_PATH_MAX} are allowed"
    if numbers < MINIMUM:
        minimum = ".".join(map(str, MINIMUM))
        return f"{executable} is Python {version}; {minimum} or newer is needed"
    return Interpreter(found, version, path, prefix)


class _Answer(NamedTuple):
    """What the interpreter says, which may be anything."""

    executable: Any
    version: Any
    path: Any
    prefix: Any


def _path(value: object) -> str:
    """Raises TypeError or ValueError for what no program could be given as a path."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    os.fsencode(value)
    if "\0" in value:
        raise ValueError("a path has no null character")
    return value
