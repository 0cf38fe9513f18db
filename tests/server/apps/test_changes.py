"""Changes to an app's files, as development mode checks for them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buntime.core.apps.watching import Watching
from buntime.server.apps.changes import TreeWatch, changed_since, files_below
from tests.support.shortage import no_descriptors

NOW_NS = 1_700_000_000_000_000_000


@pytest.fixture
def app(tmp_path: Path) -> Path:
    for path in ("app.py", "lib/deep/er.py", "templates/page.html"):
        write(tmp_path / path, "one")
    return tmp_path


def write(path: Path, text: str, *, seconds: int = 0) -> Path:
    """A file whose modification time differs from others' by whole seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(NOW_NS, NOW_NS + seconds * 1_000_000_000))
    return path


def watch(folder: Path) -> TreeWatch:
    """A watch for which no tree is too big: its walks take no time."""
    return TreeWatch(folder, clock=lambda: 0.0)


def test_nothing_changed(app: Path) -> None:
    """As long as nothing happens, nothing has changed."""
    tree = watch(app)
    assert [tree.changed() for _ in range(3)] == [False, False, False]


def test_a_change_is_told_once(app: Path) -> None:
    """A change is reported by the next call only."""
    tree = watch(app)
    write(app / "lib/deep/er.py", "one", seconds=1)
    assert [tree.changed(), tree.changed()] == [True, False]


@pytest.mark.parametrize(
    "name",
    ["new.py", "requirements.txt", "lib/new.css", "a/b/c/new.html", ".env", "buntime.yaml", "x.SO"],
)
def test_new_and_removed_files(app: Path, name: str) -> None:
    """Code, templates and settings count, in any folder."""
    tree = watch(app)
    file = write(app / name, "")
    assert tree.changed()
    file.unlink()
    assert tree.changed()
    assert not tree.changed()


def test_another_size_in_the_same_tick(app: Path) -> None:
    """A file with the same time but another size has changed."""
    tree = watch(app)
    write(app / "app.py", "three")
    assert tree.changed()


def test_a_file_put_in_place_of_another(app: Path) -> None:
    """Editors write a new file and rename it: same time and size, but another inode."""
    tree = watch(app)
    write(app / "app.py.new", "two").rename(app / "app.py")
    assert tree.changed()


def test_an_older_file_is_a_change(app: Path) -> None:
    """A file restored from a backup is older than the one before, and still a change."""
    tree = watch(app)
    write(app / "app.py", "one", seconds=-1000)
    assert tree.changed()


def test_renames(app: Path) -> None:
    """Renaming a folder changes the files in it."""
    tree = watch(app)
    (app / "lib").rename(app / "library")
    assert tree.changed()


@pytest.mark.parametrize(
    "name",
    [
        *(".venv/lib/x.py", "venv/lib/x.py", "node_modules/x/index.js", "lib/__pycache__/x.py"),
        *(".git/HEAD", ".idea/x.py", "lib/.cache/x.py", ".hidden", "lib/.app.py.swp", ".env.swp"),
        *(
            "data.db",
            "data.db-wal",
            "data.db-journal",
            "data.sqlite",
            "data.sqlite3",
            "x.sqlite-shm",
        ),
        *("x-journal", "x-wal", "x-shm", "logs/app.log", "x.pyc", "x.tmp", "app.py~", "DATA.DB"),
        *("uploads/1.json", "state.json", "new.txt", "x.dbx", "x.csv", "data/x.bin", "app.lock"),
    ],
)
def test_what_is_not_watched(app: Path, name: str) -> None:
    """Environments, caches, dotfiles, and data written by an app or an editor are not changes."""
    tree = watch(app)
    write(app / name, "x")
    assert not tree.changed()


def test_folders_alone_are_no_change(app: Path) -> None:
    """An empty folder is no change."""
    tree = watch(app)
    (app / "uploads").mkdir()
    assert not tree.changed()


def test_links_to_files(app: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A linked file changes when its target changes, or when the link points elsewhere."""
    elsewhere = write(tmp_path_factory.mktemp("shared") / "shared.py", "one")
    link = app / "shared.py"
    link.symlink_to(elsewhere)
    tree = watch(app)
    write(elsewhere, "one", seconds=1)
    assert tree.changed()
    link.unlink()
    link.symlink_to("nowhere")
    assert tree.changed()
    assert not tree.changed()


def test_links_to_folders(app: Path) -> None:
    """A linked folder is not walked, so a loop has an end; a change of its target path is seen."""
    link = app / "lib/loop"
    link.symlink_to("..")
    tree = watch(app)
    assert not tree.changed()
    link.unlink()
    link.symlink_to("../templates")
    assert tree.changed()


def test_a_tree_that_vanishes(app: Path) -> None:
    """A tree that disappears is a change and no error, and so is its return."""
    tree = watch(app)
    shutil.rmtree(app)
    assert [tree.changed(), tree.changed()] == [True, False]
    write(app / "app.py", "one")
    assert tree.changed()


def test_a_small_tree_is_walked_each_time(app: Path) -> None:
    """If a walk takes less than 25 ms, no change is missed."""
    now = iter(range(1000))
    tree = TreeWatch(app, clock=lambda: next(now) * 0.02)  # 20 ms between two readings of the clock
    for seconds in range(1, 5):
        write(app / "app.py", "one", seconds=seconds)
        assert tree.changed()


def test_a_big_tree_rests(app: Path) -> None:
    """After walks of 60 and 40 ms the next one waits for 400 ms, and then reports what changed
    meanwhile."""
    times = [0.0, 0.06]  # the walk when it is created
    tree = TreeWatch(app, clock=lambda: times.pop(0))
    times += [0.1, 0.1, 0.14]
    assert not tree.changed()  # and a rest until 0.54
    write(app / "app.py", "two more")
    times += [0.5]
    assert not tree.changed()
    times += [0.55, 0.55, 0.59]
    assert tree.changed()
    times += [0.6]
    assert not tree.changed()
    assert times == []


def test_one_long_walk(app: Path) -> None:
    """A walk that has waited for a busy machine is no reason to rest: the next change is seen."""
    times = [0.0, 0.001]
    tree = TreeWatch(app, clock=lambda: times.pop(0))
    for took_s in (0.5, 0.001, 0.5):
        write(app / "app.py", f"after {took_s}{len(times)}")
        times += [1.0, 1.0, 1.0 + took_s]
        tree.changed()
        assert times == []  # it has walked


def test_a_name_in_no_encoding(app: Path) -> None:
    """A file whose name is not UTF-8 is watched like any other."""
    tree = watch(app)
    Path(os.fsdecode(os.fsencode(app) + b"/sh\xffp\n.py")).touch()
    assert tree.changed()


def test_it_runs_where_files_come_and_go(app: Path) -> None:
    """A tree that changes during a walk is walked to its end."""
    churn = "import pathlib\nfor i in range(200):\n p = pathlib.Path(f'f{i}.py')\n"
    churn += " p.touch(); p.unlink()\n"
    tree = watch(app)
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", churn], cwd=app) as process:
        while process.poll() is None:
            tree.changed()
    tree.changed()
    assert not tree.changed()


def test_repr(app: Path) -> None:
    """The repr shows what is watched."""
    assert repr(watch(app)) == f"TreeWatch({str(app)!r}, 3 files)"


def test_no_descriptors_are_no_change(app: Path) -> None:
    """A tree that cannot be read for lack of descriptors is read later; a change is seen then."""
    watched = watch(app)
    with no_descriptors():
        assert not watched.changed()
    assert not watched.changed()
    write(app / "app.py", "another", seconds=5)
    with no_descriptors():
        assert not watched.changed()
    assert watched.changed()


def test_what_cannot_be_looked_at_may_have_changed(app: Path) -> None:
    """A tree that cannot be read may have changed: an operator who reloads wants no change to be
    missed."""
    with no_descriptors():
        assert changed_since(app, 2 * NOW_NS)


def test_what_is_gone_is_a_change(app: Path) -> None:
    """A removed file is a change if it was known and is watched."""
    known = files_below(app)
    assert known is not None
    later_ns = 2 * time.time_ns()
    write(app / "notes.log", "not watched").unlink()
    assert not changed_since(app, later_ns, known)
    (app / "lib/deep/er.py").unlink()
    assert changed_since(app, later_ns, known)
    assert not changed_since(app, later_ns)


def test_what_cannot_be_looked_at_is_not_known(app: Path) -> None:
    """If the tree cannot be read no files are known, so none counts as removed."""
    with no_descriptors():
        assert files_below(app) is None


def test_what_a_manifest_adds_and_leaves_out(app: Path) -> None:
    """`watch` adds files, and excludes others that never count; excluded folders are not walked."""
    tree = TreeWatch(app, Watching(["rates.json", "!pages/**"]), clock=lambda: 0.0)
    write(app / "pages/wiki/one.html", "")
    assert not tree.changed()
    write(app / "deep/rates.json", "")
    assert (tree.changed(), tree.changed_file) == (True, "deep/rates.json")


def test_what_a_worker_has_imported(app: Path) -> None:
    """A file that a worker imported counts whatever its name is, from when it is reported."""
    write(app / "lib/rules.dsl", "one")
    tree = watch(app)
    write(app / "lib/rules.dsl", "three")
    assert not tree.changed()
    tree.watch(Watching((), ["lib/rules.dsl", "../elsewhere", "gone.dsl"]))
    assert not tree.changed()
    write(app / "lib/rules.dsl", "fourth")
    assert (tree.changed(), tree.changed_file) == (True, "lib/rules.dsl")


def test_what_is_put_into_a_linked_folder(
    app: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Files in a linked folder do not count, since they may be uploads; only where the link points
    does."""
    elsewhere = tmp_path_factory.mktemp("uploads")
    (app / "uploads").symlink_to(elsewhere)
    tree = watch(app)
    write(elsewhere / "new.py", "")
    assert not tree.changed()
