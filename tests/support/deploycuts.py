"""Deploys into a folder again and again, each time cut short one file system change later.

    python -m tests.support.deploycuts FOLDER killed|full CASES...

`killed`: SIGKILL ends the process before that change. `full`: that change fails as on a full disk,
and so does every later change that needs room. A sweep follows each deploy, as at a start. Prints
a line for each case: how many cuts there were, and how many left the old state or the new one. Any
other state is printed, and the exit code is 1.
"""

import contextlib
import errno
import os
import shutil
import signal
import sys
from pathlib import Path

from buntime.core.errors import BuntimeError
from buntime.server.deploys.store import Store
from buntime.server.plugins.pluginstore import VERSION, PluginStore
from tests.support.deploystore import deployed, release_of, tree

CHANGES = {
    *("os.rename", "os.symlink", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"),
    "shutil.rmtree",
}
NEED_ROOM = {"os.symlink", "os.mkdir", "os.link", "open"}


class Cut:
    """An audit hook that cuts at the change with this number."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.is_full = False
        self.kills = False
        sys.addaudithook(self.on_event)

    def on_event(self, event: str, args: tuple[object, ...]) -> None:
        is_write = event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT
        if self.left is None or not (event in CHANGES or is_write):
            return
        self.left -= 1
        if self.left < 0 and self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left < 0 and event in NEED_ROOM:
            self.is_full = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def store_in(root: Path, case: str) -> Store:
    return (PluginStore if case.startswith("plugin") else Store)(str(root))


def prepare(root: Path, case: str) -> Store:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    store = store_in(root, case)
    if case == "plugin-replaced":
        deployed(store, release_of("audit", VERSION))
    if case == "flat":
        (root / "shop").mkdir()
        (root / "shop" / "app.py").touch()
    if case in ("next", "replaced", "preview"):
        deployed(store, release_of("shop", "1.0.0"))
    if case == "replaced":
        deployed(store, release_of("shop", "1.1.0"))
    return store


def deploy(store: Store, case: str) -> None:
    app = "@acme/shop" if case == "scoped" else "shop"
    if case.startswith("plugin"):
        name = "@acme/audit" if case == "plugin-scoped" else "audit"
        deployed(store, release_of(name, VERSION, "b"))
    elif case == "preview":
        deployed(store, release_of(app, "0.0.0-preview.a"), expires_s=9.0)
    elif case == "replaced":
        deployed(store, release_of(app, "1.0.0", "b"), replaces=True)
    else:
        deployed(store, release_of(app, "1.2.0"))


def state(root: Path) -> tuple[set[str], set[str]]:
    """What is visible of the apps, and all other files except turns, which never matter."""
    everything = {each for each in tree(str(root)) if not each.endswith("/turn")}
    bare = {each for each in everything if each.startswith(".releases") and each.count("/") < 2}
    hidden = {each for each in everything if each.startswith(".releases")}
    withheld = {
        f"withheld {word}"
        for path in root.glob(".releases/*/withheld")
        for word in path.read_text("utf-8").split()
    }
    files = {each for each in hidden - bare if not each.endswith("/withheld")}
    return (everything - hidden) | withheld, files


def cut_once(cut: Cut, root: Path, how: str, case: str, number: int) -> bool:
    """Deploy, cut at this change; returns whether the deploy finished."""
    store = prepare(root, case)
    if how == "killed":
        child = os.fork()
        if not child:
            cut.kills, cut.left = True, number
            deploy(store, case)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) and status:
            raise AssertionError(f"the child failed at {number}")
        return not os.WIFSIGNALED(status)
    cut.is_full, cut.left = False, number
    with contextlib.suppress(OSError, BuntimeError):
        deploy(store, case)
    cut.left = None
    return not cut.is_full


def main(folder: str, how: str, *cases: str) -> int:
    cut = Cut()
    return max(cut_all(cut, Path(folder) / case, how, case) for case in cases)


def cut_all(cut: Cut, root: Path, how: str, case: str) -> int:
    old = state(Path(prepare(root, case).root))
    deploy(store_in(root, case), case)
    store = store_in(root, case)
    for app in store.apps():
        store.tidy(app)
    new = state(root)
    cuts, counts = 0, [0, 0]
    for number in range(1000):
        is_whole = cut_once(cut, root, how, case, number)
        store = store_in(root, case)
        store.sweep()
        for app in store.apps():
            store.tidy(app)
        now = state(root)
        if now not in (old, new) or (is_whole and now != new):
            print(f"cut {number} ({how}, {case}) left neither:", *sorted(now[0] ^ old[0]), sep="\n")
            print(*sorted(now[1] ^ old[1]), sep="\n")
            return 1
        if is_whole:
            break
        cuts += 1
        counts[now == new] += 1
    print(case, cuts, *counts)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
