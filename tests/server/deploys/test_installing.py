"""pip's output, while pip writes it."""

import os
import tempfile
from pathlib import Path

import pytest

from buntime.server.deploys import installing
from buntime.server.deploys.installing import Tail
from buntime.server.pythons.identity import resolve


def test_lines_as_they_come(tmp_path: Path) -> None:
    """Each complete line is given once; a newer environment is read from its beginning."""
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


def test_an_environment_that_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log has gone by the time it is opened, nothing is read, and reading goes on."""
    log = tmp_path / ".venv-1" / "install.log"
    log.parent.mkdir()
    log.write_text("Collecting a\n")
    changed_ns = installing._changed_ns

    def and_move(path: Path) -> int:
        found = changed_ns(path)
        path.parent.rename(tmp_path / "moved")
        return found

    tail = Tail(tmp_path)
    monkeypatch.setattr(installing, "_changed_ns", and_move)
    assert tail.read() == []
    monkeypatch.undo()
    (tmp_path / "moved").rename(tmp_path / ".venv-2")
    assert tail.read() == ["Collecting a"]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_no_file(tmp_path: Path, kind: str) -> None:
    """A package's build may put something else in the log's place: nothing of that is read."""
    log = tmp_path / ".venv-1" / "install.log"
    log.parent.mkdir()
    (tmp_path / "secret").write_text("secret\n")
    if kind == "link":
        log.symlink_to(tmp_path / "secret")
        with pytest.raises(OSError, match="symbolic links"):
            Tail(tmp_path).read()
    else:
        os.mkfifo(log)
        assert Tail(tmp_path).read() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
def test_as_the_apps_user() -> None:
    """For an app with its own user, only a log that this user may read is shown."""
    # Not in pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="installing-") as name:
        folder = Path(name)
        log = folder / ".venv-1" / "install.log"
        log.parent.mkdir()
        log.write_text("told\n")
        nobody = resolve("nobody")
        for each in (log.parent, folder):
            each.chmod(0o755)
        assert Tail(folder, nobody).read() == ["told"]
        log.chmod(0o600)
        with pytest.raises(PermissionError):
            Tail(folder, nobody).read()
