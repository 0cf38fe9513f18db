"""Starts workers by forking a process that has imported what they need: a half of the cost of a
start for a sync app, a sixth for an async one.

`start(kind, python, launched, descriptors, outputs)` is like a Popen of the worker. This module is
also the program of the processes that fork, one for each kind of worker and each Python, from 3.9
on. It imports nothing from elsewhere but what such a worker imports itself, asyncio only for async
apps; and of ours what many of them import later, which took half of a fork's time. Tests of how a
worker starts, and of what it imports, start it afresh.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tests.support.forking import ROOT, Forked, Forks, fork_for_each

if TYPE_CHECKING:
    from pathlib import Path  # at run time it would bring modules that workers do without

FLAGS = ("-I", "-S", "-X", "utf8")
# The process that forks finds no packages, as a worker; only this module is from the checkout.
PROGRAM = f"""
import sys
sys.path.append({ROOT!r})
from tests.support.nursery import main
sys.path.remove({ROOT!r})
main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
Kind = Literal["sync", "async"]
# Each async worker has those others, by its engine.
OTHERS = {"sync": ("_contextvars",), "async": ("_contextvars", "_queue", "concurrent", "queue")}
LATER = {
    "sync": ("callstreams", "mailboxes", "plugsync"),
    "async": (
        *("aio", "aiofetch", "aiowebsocket", "asgi", "asgiwebsocket", "asynccalls", "lifespan"),
        *("mailboxes", "outlet", "plugaio"),
    ),
}


def start(
    kind: Kind, python: str, launched: Path, descriptors: Sequence[int], outputs: Sequence[int]
) -> Forked:
    """A worker with these descriptors, in a session of its own, without stdin; `outputs` become
    stdout and stderr."""
    asked = {"env": dict(os.environ), "cwd": os.getcwd()}
    return Forked(_forks(kind, python, launched).start(asked, [*outputs, *descriptors]))


@functools.cache
def _forks(kind: Kind, python: str, launched: Path) -> Forks:
    return Forks([python, *FLAGS, "-c", PROGRAM, kind, str(launched)], os.environ)


# The process that forks


def main(kind: Kind, launched: str, number: int) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # an app may have a module of this name
    sys.path.append(os.path.dirname(launched))
    if kind == "async":
        import asyncio  # noqa: F401

    from buntime.worker.main import main as work

    had = {*sys.modules}
    for name in LATER[kind]:
        __import__(f"buntime.worker.{name}")  # importlib is what few workers have
    foreign = {name.partition(".")[0] for name in {*sys.modules} - had}
    assert foreign <= {"buntime", *OTHERS[kind]}, foreign

    def become(asked: dict[str, Any], descriptors: list[int]) -> Callable[[], int]:
        os.setsid()
        for its, ours in enumerate(descriptors[:2], 1):
            os.dup2(ours, its)
            os.close(ours)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = [launched, *map(str, descriptors[2:])]
        gc.enable()
        return lambda: work(sys.argv)

    gc.disable()
    gc.freeze()
    fork_for_each(number, become)
