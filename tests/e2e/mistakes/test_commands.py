"""Mistakes on the command line end in one line: what is wrong, where, and what to do."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.commandmistakes import LINES
from tests.support.harness import write_app
from tests.support.runs import run


class Place(NamedTuple):
    cwd: Path
    taken: int
    down: int


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder with faulty files, and two ports."""
    folder = tmp_path_factory.mktemp("lines")
    write_app(folder / "apps/shop", {"app.py": "def fetch(request): ...\n"})
    (folder / "empty").mkdir()
    (folder / "bad.env").write_text("PORT=80\nRUNTIME_POOL_SIZE=lots\n")
    (folder / "crlf.env").write_bytes(b"\xef\xbb\xbfPORT=80\r\nRUNTIME_POOL_SIZE=lots\r\n")
    (folder / "odd.env").write_text("PORT 80\n")
    (folder / "config.yaml").write_text("\nplugin: {}\n")
    (folder / "type.yaml").write_text("plugins: {keyval: {enabled: perhaps}}\n")
    with socket.create_server(("127.0.0.1", 0)) as down:
        port = down.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield Place(folder, taken.getsockname()[1], port)


@pytest.mark.parametrize("mistake", LINES)
def test_lines(mistake: str, place: Place) -> None:
    """One line, with all three parts, and an exit code that shows the failure."""
    line = LINES[mistake]
    env = {
        "HOME": str(place.cwd),
        "RUNTIME_STATE_DIR": str(place.cwd / "state"),
        "RUNTIME_ADMIN_LISTEN": "none",
        **line.env,
    }
    words = shlex.split(line.words.format(**place._asdict()))
    done = run(*words, cwd=place.cwd, env=env)
    text = done.stdout + done.stderr
    assert done.returncode == line.code, text
    for piece in line.told:
        assert piece.format(**place._asdict()) in text, text
    assert "Traceback" not in text
    if line.code == 2:
        assert done.stderr.startswith("buntime: error: ")
        assert done.stderr.count("\n") == 1


def test_there_are_many() -> None:
    """There are at least thirty lines, and each has three parts."""
    assert len(LINES) >= 30
    assert all(all(line.told) for line in LINES.values())
