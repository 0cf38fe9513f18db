"""Lays out the apps of bench/apps, and generated files, for one contestant."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from bench.sizes import STATIC_LARGE_BYTES, STATIC_SMALL_BYTES

APPS = Path(__file__).parent / "apps"
PLUGINS = Path(__file__).parent / "plugins"
MANY = 200
FOLDERS = 3000
FEW = 5
COPIES = {"many": MANY, "few": FEW, "pair": 2, "one": 1, "folders": FOLDERS - 1}
# Apps with this many workers, from the runtime's start on.
CROWDS = {"crowd": MANY, "handful": FEW}
_CACHES = shutil.ignore_patterns("__pycache__")


def lay_out(folder: Path, apps: tuple[str, ...], plugins: tuple[str, ...] = ()) -> Path:
    """A folder with these apps; the plugins are beside it, where Buntime looks for them.

    `site` has the static files, `many` is app-000 to app-199, `few` app-000 to app-004 and so on.
    `crowd` and `handful` are single apps with many or few workers.
    """
    root = folder / "apps"
    for plugin in plugins:
        shutil.copytree(PLUGINS / plugin, folder / "plugins" / plugin, ignore=_CACHES)
    for app in apps:
        if app == "site":
            write_site(root / app)
        elif app in COPIES:
            for number in range(COPIES[app]):
                shutil.copytree(APPS / "noop", root / f"app-{number:03}")
        elif app in CROWDS:
            shutil.copytree(APPS / "noop", root / app)
            with (root / app / "buntime.yaml").open("a") as manifest:
                manifest.write("workers: {0}\nprewarm: {0}\nconcurrency: 1\n".format(CROWDS[app]))
        else:
            shutil.copytree(APPS / app, root / app, ignore=_CACHES)
    return root


def write_site(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>bench</title>\n")
    for name, size in ("4kb.bin", STATIC_SMALL_BYTES), ("10mb.bin", STATIC_LARGE_BYTES):
        (folder / name).write_bytes(static_bytes(size))


def static_bytes(size: int) -> bytes:
    """Random bytes, the same each time, which do not compress."""
    return random.Random(size).randbytes(size)
