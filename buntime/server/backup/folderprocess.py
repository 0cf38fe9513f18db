"""Starts the process that reads or writes one folder of a backup; see helper.py."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from buntime.confine import NotConfined
from buntime.core.sandbox.kernel import Kernel
from buntime.core.sandbox.order import at_start, make_order
from buntime.core.sandbox.plan import SYSTEM_READ, SYSTEM_RUN, AppPaths, Surroundings, plan
from buntime.core.sandbox.systemcalls import program
from buntime.core.values.tuples import NamedTuple
from buntime.server.backup import helper
from buntime.server.defence.ownthread import confined
from buntime.server.pythons.identity import Identity
from buntime.server.sandbox.listing import Listing, existing
from buntime.wire import Message

_ERROR_MAX_BYTES = 4096
_END_S = 10.0


class Failed(Exception):
    """A folder could not be read or written; says which, and why."""


class Folder(NamedTuple):
    """A folder, its user (None: the runtime's own), and whether it may have links."""

    path: str
    user: Identity | None = None
    has_links: bool = False


class FolderProcess:
    """A process that packs or unpacks a folder; `stream` is its pipe."""

    def __init__(self, process: subprocess.Popen[bytes], stream: IO[bytes], folder: Folder) -> None:
        self.stream = stream
        self._process = process
        self._folder = folder

    def finish(self) -> None:
        """Wait for the process to end. Raises Failed with what it said on stderr."""
        try:
            self.stream.close()
        except BrokenPipeError:
            pass  # the process itself says why it ended
        process = self._process
        if process.stderr is None:
            raise AssertionError("a process with a pipe for its errors")
        error = process.stderr.read(_ERROR_MAX_BYTES).decode("utf-8", "replace").strip()
        try:
            code = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code, error = -1, "its process does not end"
        if code:
            raise Failed(f"{self._folder.path}: {error or f'its process has ended with {code}'}")


@contextmanager
def folder_process(action: str, folder: Folder, kernel: Kernel) -> Iterator[FolderProcess]:
    """Run the process in this context; `action`: "pack" or "unpack". Raises Failed, as `finish`."""
    is_reading = action == "pack"
    command = _command(action, folder)  # now: the thread that starts it cannot read our files
    try:
        process = confined(
            _order(folder, kernel),
            lambda: subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if is_reading else subprocess.PIPE,
                stdout=subprocess.PIPE if is_reading else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={"PATH": os.defpath},
                cwd="/",
                **({} if folder.user is None else folder.user.options()),
            ),
        )
    except (OSError, NotConfined) as exc:
        who = "" if folder.user is None else f" as the user {folder.user.name}"
        raise Failed(f"{folder.path}: {sys.executable} cannot be started{who}: {exc}") from exc
    stream = process.stdout if is_reading else process.stdin
    if stream is None:
        raise AssertionError("a process with a pipe")
    try:
        yield FolderProcess(process, stream, folder)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass  # it has been killed with something left to read


def _command(action: str, folder: Folder) -> list[str]:
    loader: Any = helper.__spec__.loader
    source = loader.get_source(helper.__name__)
    if not source:
        raise Failed("the text of helper.py is not there")
    words = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", source, action, folder.path]
    return [*words, "links"] if folder.has_links else words


def _order(folder: Folder, kernel: Kernel) -> Message | None:
    """It may read its Python and the system's libraries, and use its folder; nothing else."""
    if not kernel.is_fit:
        return None
    pythons = {os.path.realpath(each) for each in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    pythons |= {
        os.path.dirname(path) for path in (sys.executable, os.path.realpath(sys.executable))
    }
    paths = AppPaths(
        folder=folder.path,
        versions=(),
        kept=(folder.path,),
        wanted=(),
        python=tuple(sorted(pythons - {"/"})),
    )
    around = Surroundings(apps=(), secrets=(), run=existing(SYSTEM_RUN), read=existing(SYSTEM_READ))
    made = plan("strict", paths, around, Listing(lambda folder, count: None).entries)
    filtered = program(kernel.machine, runtime_pid=os.getpid())
    order = make_order("strict", made.rules, kernel, program=filtered, capabilities=[])
    is_root = os.geteuid() == 0
    return at_start(order, is_root=is_root, becomes_user=folder.user is not None)
