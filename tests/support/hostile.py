"""A site's folder with all in and around it that tests/corpus/traversal.txt tries to reach."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus" / "traversal.txt"
SECRET = "what nobody may see"

# The secret is written as a comment, because the runtime reads some of these files too.
_FILES = """
    .env .git/config docs/.htpasswd .DS_Store .well-known/.secret .well-known.txt
    docs/.well-known/security.txt buntime.yaml buntime.yml manifest.yaml manifest.yml BUNTIME.YAML
    ../secret.txt ../site-sibling/data.txt
"""
_LINKS = {
    "link-out.txt": "../secret.txt",
    "link-up": "..",
    "link-root": "/",
    "link-here": ".",
    "link-chain.txt": "link-out.txt",
    "link-manifest.txt": "buntime.yaml",
    "docs/link-out.txt": "../../secret.txt",
    "link-proc": "/proc/self",
    "link-fd.txt": "/proc/self/fd/0",
    "link-zero": "/dev/zero",
    "link-loop": "link-loop",
    "link-nowhere": "nowhere",
    "link-sibling": "../site-sibling",
    "link-fifo": "fifo",
}


def fill(folder: Path) -> None:
    """Put secrets, links and special files into the site `folder` and beside it."""
    for name in _FILES.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {SECRET}\n")
    for name, target in _LINKS.items():
        (folder / name).symlink_to(target)
    (folder / "link-absolute.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "100%.txt").write_text("all")
    os.mkfifo(folder / "fifo")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/socket")  # a path to bind to must be short
        os.rename(f"{short}/socket", folder / "socket")


def corpus_paths() -> list[str]:
    """The paths of the corpus, as a request line has them after the site's base."""
    lines = CORPUS.read_text("utf-8").splitlines()
    return [line.partition("  # ")[0] for line in lines if line and not line.startswith("#")]
