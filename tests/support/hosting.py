"""Puts apps of `apps/` into a folder that a runtime serves, and has clients to ask them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

APPS = Path(__file__).parents[1] / "e2e" / "modes" / "apps"


def install(worker_dir: Path, name: str, *sources: str | Path, **manifest: object) -> Path:
    """Copy an app's folder so that it is served as `name`; later sources overwrite earlier ones.

    Sources are folders of `apps/`; the app's own name (without a version) is the default. Keywords
    make a new manifest, such as `ttl=0`.
    """
    folder = worker_dir / name
    for source in sources or (name.partition("@")[0],):
        shutil.copytree(
            APPS / source,
            folder,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "data"),
        )
    if manifest:
        (folder / "buntime.yaml").write_text(json.dumps(manifest), "utf-8")
    return folder


def curl_command(*args: str) -> list[str]:
    """A curl command that prints only errors, and takes no proxy from the environment."""
    return ["curl", "-sS", "--noproxy", "*", "--max-time", "20", *args]


def curl(*args: str, data: bytes | None = None) -> bytes:
    """What curl writes to stdout; `data` is its stdin."""
    done = subprocess.run(curl_command(*args), input=data, capture_output=True, check=False)
    assert done.returncode == 0, f"curl {args}: {done.stderr.decode()}"
    return done.stdout
