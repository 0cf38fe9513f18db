"""Runs an interpreter once, to learn what it is, and what its workers may import.

It may be any program, and may lie. What it reports counts only for the apps that chose it.
"""

import json
import os
import sys
from collections.abc import Mapping
from threading import Event
from typing import Any

from buntime.confine import NotConfined
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.inquiry import ask
from buntime.server.pythons.users import User
from buntime.wire import Message

MINIMUM = (3, 9)

_TIMEOUT_S = 10.0  # a cold interpreter on a slow disk takes two
_PATH_MAX = 1000  # they are checked again and again
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
    "hooks": [f.__module__ for f in sys.meta_path
              if getattr(f, "__module__", "").startswith("__editable___")],
}}))
"""


def editable_hooks() -> tuple[str, ...]:
    """The modules by which this Python finds packages that were installed as editable."""
    modules = (getattr(finder, "__module__", None) or "" for finder in sys.meta_path)
    return tuple(name for name in modules if name.startswith("__editable___"))


class Interpreter(NamedTuple):
    """A Python for workers. `path` has its `sys.path` entries beyond the standard library.

    `user` is the user that an app's workers become, None for the current one. `is_own`: an app can
    change it, so it is started in that app's sandbox. `hooks` are the modules by which setuptools
    finds packages that were installed as editable.
    """

    executable: str
    version: str  # "3.11.7"
    path: tuple[str, ...]
    prefix: str | None  # what `sys.prefix` should be: that of a virtual environment
    user: User | None = None
    is_own: bool = False
    hooks: tuple[str, ...] = ()


def probe(
    executable: str,
    environ: Mapping[str, str],
    *,
    user: Identity | None = None,
    sandbox: Message | None = None,
    timeout_s: float = _TIMEOUT_S,
    cancelled: Event | None = None,
) -> Interpreter | str:
    """Run `executable` as `user`, in its sandbox, to see what it is; a string: why it is unfit."""
    env = {name: environ[name] for name in _ENV if name in environ}
    if user is not None:
        env["HOME"] = user.home
    command = [executable, "-I", "-S", "-c", _PROBE]
    try:
        answer = ask(
            command,
            env=env,
            timeout_s=timeout_s,
            user=user,
            sandbox=sandbox,
            cancelled=cancelled or Event(),
        )
    except (OSError, ValueError, NotConfined) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        return f"{executable} cannot be run: {reason or exc}"
    if answer.is_late:
        return f"{executable} gave no answer within {timeout_s:g} s"
    return _read_answer(executable, answer.text, answer.returncode)


def _read_answer(executable: str, output: str, returncode: int) -> Interpreter | str:
    answers = [line for line in output.splitlines() if line.startswith(_MARK)]
    if not answers:
        lines = output.strip().splitlines() or [f"exit code {returncode}"]
        return f"{executable} is not a Python 3: {shown(lines[-1])}"
    try:
        answer = _Answer(**json.loads(answers[-1].removeprefix(_MARK)))
        numbers = tuple(map(int, answer.version))
        path = tuple(dict.fromkeys(filter(None, map(_path, answer.path))))
        found = _path(answer.executable or executable)
        prefix = _path(answer.prefix)
        hooks = tuple(dict.fromkeys(map(_name, answer.hooks)))
    except (ValueError, TypeError, RecursionError):
        return f"{executable} is not a Python 3: {shown(answers[-1])}"
    version = ".".join(map(str, numbers))
    if max(len(path), len(hooks)) > _PATH_MAX:
        return f"{executable} has {len(path)} folders of packages; {_PATH_MAX} are allowed"
    if numbers < MINIMUM:
        minimum = ".".join(map(str, MINIMUM))
        return f"{executable} is Python {version}; {minimum} or newer is needed"
    return Interpreter(found, version, path, prefix, hooks=hooks)


class _Answer(NamedTuple):
    """The interpreter's output, which may be anything."""

    executable: Any
    version: Any
    path: Any
    prefix: Any
    hooks: Any = ()


def _name(value: object) -> str:
    """Raises TypeError or ValueError for an invalid module name."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    if not value.isidentifier():
        raise ValueError("not a name")
    return value


def _path(value: object) -> str:
    """Raises TypeError or ValueError for a path that no program could be given."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    os.fsencode(value)
    if "\0" in value:
        raise ValueError("a path cannot contain a null character")
    return value
