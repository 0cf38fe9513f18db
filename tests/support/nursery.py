"""Starts workers of async apps by forking a process that has imported asyncio: a quarter of the
cost of a start.

`start(launched, descriptors, outputs)` is like a Popen of the worker. This module is also the
program of the process that forks, which imports nothing but what the worker of an async app imports
itself. Tests of how a worker starts, and of what it imports, start it afresh.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

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
main(sys.argv[1], int(sys.argv[2]))
"""


def start(launched: Path, descriptors: Sequence[int], outputs: Sequence[int]) -> Forked:
    """A worker with these descriptors, in a session of its own, without stdin; `outputs` become
    stdout and stderr."""
    asked = {"env": dict(os.environ), "cwd": os.getcwd()}
    return Forked(_forks(launched).start(asked, [*outputs, *descriptors]))


@functools.cache
def _forks(launched: Path) -> Forks:
    return Forks([sys.executable, *FLAGS, "-c", PROGRAM, str(launched)], os.environ)


# The process that forks


def main(launched: str, number: int) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # an app may have a module of this name
    sys.path.append(os.path.dirname(launched))
    import asyncio  # noqa: F401

    from buntime.worker.main import main as work

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
