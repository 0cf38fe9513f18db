"""What pip says, as it says it."""

import os
from pathlib import Path

from buntime.server.deploys.installing import Tail


def test_lines_as_they_come(tmp_path: Path) -> None:
    """Each whole line is told once; of a newer environment from its beginning."""
    tail = Tail(tmp_path)
    assert tail.read() == []
    first = tmp_path / ".venv-1" / "install.log"
    first.parent.mkdir()
    first.write_bytes(b"Collecting a\nDown")
    os.utime(first, (1, 1))
    assert tail.read() == ["Collecting a"]
    with first.open("ab") as log:
        log.write(b"loading\n\n\xff\n")
    os.utime(first, (1, 1))
    assert tail.read() == ["Downloading", "\ufffd"]
    second = tmp_path / ".venv-2" / "install.log"
    second.parent.mkdir()
    second.write_bytes(b"x" * 600 + b"\n")
    assert tail.read() == ["x" * 500]
    assert tail.read() == []
