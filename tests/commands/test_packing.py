"""Packing: which files belong to a deploy, and identical archives for identical content."""

from __future__ import annotations

import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from buntime.commands.packing import Plan, pack, plan_archive
from buntime.core.errors import UsageError


def write(folder: Path, *names: str, **texts: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name, text in texts.items():
        (folder / name).write_text(text)


def ignore(folder: Path, *lines: str, name: str = ".gitignore") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def taken(folder: Path) -> list[str]:
    return [entry.name for entry in plan_archive(str(folder)).entries]


def test_what_nobody_wants(tmp_path: Path) -> None:
    """History, environments, generated files and secrets are left out; secrets are named."""
    write(tmp_path, "app.py", "lib/a.py", ".git/config", ".venv/bin/python", "node_modules/x/y.js",
          "__pycache__/app.pyc", "lib/b.pyc", "env311/pyvenv.cfg", "env311/bin/python", ".env",
          ".env.production", ".env.example", "certs/server.pem", "certs/id_ed25519",
          ".well-known/security.txt")  # fmt: skip
    plan = plan_archive(str(tmp_path))
    assert [entry.name for entry in plan.entries] == [
        ".env.example", ".well-known/security.txt", "app.py", "lib/a.py",
    ]  # fmt: skip
    assert plan.secrets == [".env", ".env.production", "certs/id_ed25519", "certs/server.pem"]
    assert (plan.count, plan.size_bytes) == (4, sum(map(len, taken(tmp_path))))


def test_what_is_asked_for(tmp_path: Path) -> None:
    """`!` in `.buntimeignore` includes what would be left out, even what git ignores."""
    write(tmp_path, "app.py", "dist/app.js", ".env", "node_modules/x/y.js", "notes.txt")
    ignore(tmp_path, "dist/", "*.txt")
    assert taken(tmp_path) == ["app.py"]
    ignore(tmp_path, "!dist/", "!.env", "!node_modules/", "app.py", name=".buntimeignore")
    plan = plan_archive(str(tmp_path))
    assert [entry.name for entry in plan.entries] == [".env", "dist/app.js", "node_modules/x/y.js"]
    assert plan.secrets == []


def test_what_a_program_has_written(tmp_path: Path) -> None:
    """Databases and logs are packed and named, until a pattern decides about them; code is not."""
    named = ["data.db", "data.db-wal", "db.sqlite3", "db.sqlite3-journal", "nohup.out", "var/A.LOG"]
    write(tmp_path, "app.py", "changelog", "db.py", "log.txt", *named)
    plan = plan_archive(str(tmp_path))
    assert plan.data == named
    assert {entry.name for entry in plan.entries} > set(named)
    ignore(tmp_path, "*.LOG", "*.db*")
    ignore(tmp_path, "!*.sqlite3*", "!data.db", name=".buntimeignore")
    plan = plan_archive(str(tmp_path))
    assert plan.data == ["nohup.out"]
    names = [entry.name for entry in plan.entries]
    assert [name for name in names if name in named] == [
        "data.db", "db.sqlite3", "db.sqlite3-journal", "nohup.out",
    ]  # fmt: skip


FILES = (
    "a.txt", "a.log", "keep.log", "build/x", "src/build/y", "src/a.log", "src/deep/a.tmp",
    "docs/a.md", "docs/deep/b.md", "src/keep.log", "only/a", "only/b", "#odd", "sp ace", "x/y/z.o",
)  # fmt: skip


def test_as_git_does(tmp_path: Path) -> None:
    """With nested `.gitignore` files the same files are taken as by git itself."""
    write(tmp_path, *FILES)
    ignore(tmp_path, "*.log", "!keep.log", "/build", "docs/**/*.md", "only/*", "!only/b", "\\#odd",
           "*.tmp", "sp\\ ace", "x/**/z.o")  # fmt: skip
    ignore(tmp_path / "src", "!a.log", "build/", "keep.log")
    ignore(tmp_path / "src/deep", "!*.tmp")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    assert taken(tmp_path) == sorted(each for each in listed if ".gitignore" not in each)


def test_the_folders_above(tmp_path: Path) -> None:
    """Patterns of the folders above apply, up to git's top folder; but not those that leave out the
    named folder itself."""
    shop, dist = tmp_path / "apps/shop", tmp_path / "dist"
    write(shop, "app.py", "a.log", "local.tmp")
    write(dist, "index.html")
    ignore(tmp_path, "*.log", "dist/")
    ignore(shop, "*.tmp")
    assert taken(shop) == ["a.log", "app.py"]  # no repository yet
    (tmp_path / ".git").mkdir()
    assert taken(shop) == ["app.py"]
    assert taken(dist) == ["index.html"]


def test_links(tmp_path: Path) -> None:
    """A link that leads inside stays a link; any other is an error that names it."""
    shop = tmp_path / "shop"
    write(shop, "deep/er/a.txt", "b.txt")
    os.symlink("../../b.txt", shop / "deep/er/up")
    os.symlink("deep/../deep/er", shop / "folder")
    entries = {entry.name: entry.link for entry in plan_archive(str(shop)).entries}
    assert entries == {
        "b.txt": None, "deep/er/a.txt": None, "deep/er/up": "../../b.txt", "folder": "deep/er",
    }  # fmt: skip
    (tmp_path / "secret").write_text("x")
    os.symlink("..", shop / "deep/out")
    for target in ("../secret", str(shop / "b.txt"), "/etc/passwd", "deep/out/../secret"):
        os.symlink(target, shop / "bad")
        with pytest.raises(UsageError, match=r"bad is a link to .*\.buntimeignore"):
            plan_archive(str(shop))
        (shop / "bad").unlink()
    os.symlink("shop", tmp_path / "named")
    assert "b.txt" in taken(tmp_path / "named")


def test_what_is_no_file(tmp_path: Path) -> None:
    """A FIFO is left out and named; an empty folder is kept; a folder without files is an error."""
    with pytest.raises(UsageError, match="has no files to deploy"):
        plan_archive(str(tmp_path))
    write(tmp_path, "app.py")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "uploads").mkdir()
    plan = plan_archive(str(tmp_path))
    assert [(each.name, each.size) for each in plan.entries] == [("app.py", 6), ("uploads", -1)]
    assert (plan.others, plan.count) == (["pipe"], 1)


@pytest.mark.parametrize("name", [b"caf\xe9", b"\xff"])
def test_names_that_are_no_text(tmp_path: Path, name: bytes) -> None:
    """A name that is not UTF-8 is an error before anything is sent."""
    (tmp_path / os.fsdecode(name)).write_text("x")
    with pytest.raises(UsageError, match="is not a name in UTF-8"):
        plan_archive(str(tmp_path))


def packed(plan: Plan) -> tuple[bytes, str]:
    archive = pack(plan)
    with archive.file as file:
        data = file.read()
    assert len(data) == archive.size_bytes
    return data, archive.digest


def test_the_same_content_makes_the_same_archive(tmp_path: Path) -> None:
    """Times, owners, most mode bits and the order on disk make no difference."""
    names = ("b.txt", "a/c.py", "a/b.sh", "ä" * 120 + ".txt")
    one, two = tmp_path / "one", tmp_path / "two"
    write(one, *names)
    write(two, *reversed(names))
    os.utime(two / "b.txt", (1, 1))
    (one / "b.txt").chmod(0o640)
    for folder in (one, two):
        (folder / "a/b.sh").chmod(0o700 if folder is one else 0o755)
    first, second = packed(plan_archive(str(one))), packed(plan_archive(str(two)))
    assert first == second
    assert first[1].startswith("sha-256=:")
    (two / "b.txt").write_text("other")
    assert packed(plan_archive(str(two))) != first
    path = tmp_path / "archive"
    path.write_bytes(first[0])
    with tarfile.open(path) as tar:
        told = {each.name: (each.mode, each.mtime, each.uid) for each in tar}
        assert tar.extractfile("app/b.txt").read() == b"b.txt"  # type: ignore[union-attr]  # it is there
    assert told["app/a/b.sh"] == (0o755, 0, 0)
    assert told["app/b.txt"] == (0o644, 0, 0)
    assert list(told) == [f"app/{name}" for name in sorted(names)]


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    """A file that changes while it is packed is an error."""
    write(tmp_path, "a.txt")
    plan = plan_archive(str(tmp_path))
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UsageError, match="it changed while it was packed"):
        pack(plan)


def test_many_files(tmp_path: Path) -> None:
    """Some thousand files take well under a second per thousand."""
    write(tmp_path, *(f"d{number % 50}/f{number}" for number in range(2000)))
    ignore(tmp_path, *(f"pattern{number}/" for number in range(30)))
    begun = time.process_time()
    assert len(taken(tmp_path)) == 2000
    assert time.process_time() - begun < 10
