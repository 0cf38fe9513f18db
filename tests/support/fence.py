"""Sandbox orders for a worker, for tests that play the runtime."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

import pytest

from buntime.core.sandbox.kernel import Kernel
from buntime.core.sandbox.order import (
    dropped_capabilities,
    make_order,
    preparation,
    when_begun,
    when_prepared,
)
from buntime.core.sandbox.plan import (
    SYSTEM_READ,
    SYSTEM_RUN,
    AppPaths,
    Level,
    Plan,
    Surroundings,
    plan,
)
from buntime.core.sandbox.systemcalls import program
from buntime.server.sandbox.listing import Listing, existing
from buntime.server.sandbox.probe import find_kernel
from buntime.wire import Message
from tests.support.workshop import Worker, Workshop, kind_of

KERNEL = find_kernel()
needs_sandbox = pytest.mark.skipif(not KERNEL.is_fit, reason="the kernel has no Landlock of ABI 3")


def needs_abi(abi: int) -> pytest.MarkDecorator:
    """Skip a test if the kernel's Landlock is older."""
    return pytest.mark.skipif(KERNEL.abi < abi, reason=f"the kernel has no Landlock of ABI {abi}")


class Fence:
    """Folders around an app of a workshop, and the order that keeps the app in its own.

    The app is in app/. Beside it are other/ of another app, state/ with a secret, and the app's
    data/ and scratch/.
    """

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.around = shop.folder.parent
        self._made = ("other", "state", "data", "free")
        for name in self._made:
            (self.around / name).mkdir()
        (self.around / "other/app.py").write_text("SECRET = 1\n")
        (self.around / "state/key").write_text("secret")
        # Elsewhere, because a unix socket's path must be short.
        self.scratch = Path(tempfile.mkdtemp(prefix="fence-"))
        (self.around / "scratch").symlink_to(self.scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch)
        (self.around / "scratch").unlink()
        for name in self._made:
            shutil.rmtree(self.around / name)

    def order(
        self,
        level: Level = "standard",
        *,
        kernel: Kernel = KERNEL,
        write: tuple[Path, ...] = (),
        becomes_user: bool = False,
    ) -> Message:
        """INIT's `sandbox` on this kernel, or on the given one."""
        made = self.plan(level, write)
        capabilities = dropped_capabilities(is_root=os.geteuid() == 0, becomes_user=becomes_user)
        filtered = program(kernel.machine, runtime_pid=os.getpid())
        return make_order(level, made.rules, kernel, program=filtered, capabilities=capabilities)

    def plan(self, level: Level = "standard", write: tuple[Path, ...] = ()) -> Plan:
        """What the app's worker may do."""
        around = Surroundings(
            apps=(str(self.around / "other"), str(self.shop.folder)),
            secrets=(str(self.around / "state"),),
            run=existing(SYSTEM_RUN),
            read=existing(SYSTEM_READ),
        )
        app = AppPaths(
            folder=str(self.shop.folder),
            versions=(),
            kept=(str(self.around / "data"), str(self.scratch)),
            wanted=tuple(map(str, write)),
            python=tuple(self._python_paths()),
        )
        return plan(level, app, around, Listing(lambda *_: None).entries)

    def preparation(self) -> Message:
        """PREPARE for any worker that will have a sandbox."""
        filtered = program(KERNEL.machine, runtime_pid=os.getpid())
        return preparation(self.plan().common, KERNEL, program=filtered)

    def start(self, source: str, level: Level) -> Worker:
        """Start a worker as the runtime does, after preparing it."""
        worker = self.shop.spare(kind_of(source) if self.shop.forks else None)
        worker.send(self.preparation())
        fields = self.init(level)
        order = fields["sandbox"]
        assert isinstance(order, dict)
        if level == "standard":
            fields["sandbox"] = when_begun(order, self.plan().own, KERNEL)
        else:
            fields["sandbox"] = when_prepared(order)
        self.shop.write(source)
        worker.init(**fields)
        worker.ready()
        return worker

    def init(self, level: Level = "standard", **order: object) -> dict[str, object]:
        """Fields of INIT: the order, and the variables that go with it."""
        folder = str(self.scratch)
        env = {"APP_DIR": str(self.shop.folder), "HOME": folder, "TMPDIR": folder}
        env |= {"PATH": os.environ["PATH"], "AROUND": str(self.around)}
        env["RUNTIME"] = str(os.getpid())
        return {"sandbox": self.order(level, **order), "env": env}  # type: ignore[arg-type]

    def _python_paths(self) -> list[str]:
        real = os.path.realpath(self.shop.python)
        packages = [path for path in sys.path if path.endswith("site-packages")]
        prefixes = [os.path.dirname(os.path.dirname(path)) for path in (real, self.shop.python)]
        return [*prefixes, *packages, str(self.shop.bundle)]
