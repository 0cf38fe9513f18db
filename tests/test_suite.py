"""Files with a failure are run once more, alone; a test that fails twice fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.suite import FEW, Outcomes
from tests.support.harness import ROOT
from tests.support.pytestruns import complete

# Each of these tests notes in a file that it ran, and fails the first time.
TESTS = """
    from pathlib import Path
    import pytest

    def runs(name):
        with (Path(__file__).parent / name).open("a+") as file:
            file.write("x")
            return file.tell()

    def test_well(): pass
    def test_flaky(): assert runs("flaky") > 1
    @pytest.fixture
    def ends():
        yield
        assert runs("ends") > 1
    def test_ends(ends): pass
    @pytest.fixture
    def begins(): assert runs("begins") > 1
    def test_begins(begins): pass
    @pytest.mark.parametrize("text", ["a::b [c] \\\\r\\n"])
    def test_named(text): assert runs("named") > 1
"""
# More tests, which fail the run.
BROKEN = """
    from test_it import runs
    import pytest

    def test_broken(): assert not runs("broken")
    def test_skipped():
        if runs("skipped") > 1: pytest.skip("no more")
        raise AssertionError
    def test_flaky(): assert runs("flaky") > 1
    def test_late(): assert runs("late") == 1
"""
# Tests whose results mean nothing without those before them.
TOGETHER = """
    from test_it import runs
    done = []
    def test_does(): done.append(1)
    def test_sums_up(): assert runs("sums") > 1 and done
    def test_spoiled(): assert not done
"""


FILES = {"test_it.py": TESTS, "test_broken.py": BROKEN, "test_together.py": TOGETHER}


def run(folder: Path, *args: str, has_plugins: bool = False) -> tuple[int, list[str]]:
    """Run these tests; returns the exit code, and the lines printed. Importing the plugins of the
    packages takes longer than running these tests."""
    for name, source in FILES.items():
        (folder / name).write_text(textwrap.dedent(source))
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    line = ["-q", "-p", "no:cacheprovider", *args]
    done = (_afresh if has_plugins else complete)("tests.suite", line, folder)
    return done.returncode, done.stdout.splitlines()


def _afresh(module: str, args: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )


def told(said: list[str], word: str) -> set[str]:
    """The tests named by the lines that begin with this word."""
    return {
        line.split("::")[1].split()[0].split("[")[0]
        for line in said
        if line.startswith(word + ": ")
    }


@pytest.mark.parametrize("beside", [[], ["--processes", "2"]])
def test_what_passes_alone_is_told(tmp_path: Path, beside: list[str]) -> None:
    """Tests that fail once, in setup, call or teardown, are named as flaky, and the run passes."""
    code, said = run(tmp_path, "test_it.py", *beside)
    assert told(said, "flaky") == {"test_flaky", "test_begins", "test_ends", "test_named"}
    assert said[-1] == "== 5 passed, 4 of them alone (flaky), 0 failed"
    assert code == 0


def test_what_fails_again_fails_the_run(tmp_path: Path) -> None:
    """A test that fails or is skipped the second time fails the run, even if others pass then."""
    code, said = run(tmp_path, "test_broken.py")
    assert told(said, "flaky") == {"test_flaky"}
    assert told(said, "failed again") == {"test_broken", "test_skipped"}
    assert told(said, "failed alone") == {"test_late"}
    assert said[-1] == "== 1 passed, 1 of them alone (flaky), 3 failed"
    assert code == 1


def test_what_a_failed_assert_shows(tmp_path: Path) -> None:
    """The first run shows the local variables, and the one that repeats it what was compared."""
    (tmp_path / "test_sum.py").write_text(
        "def test_sum():\n    terms = [1, 2]\n    assert sum(terms) == 4\n"
    )
    code, said = run(tmp_path, "test_sum.py", "--processes", "2")
    first, again = "\n".join(said).split("== 1 failed: ")
    compared = "assert 3 == 4"
    assert (compared in first, compared in again, code) == (False, True, 1)
    assert "terms      = [1, 2]" in first


def test_plugins_that_were_imported_before(tmp_path: Path) -> None:
    """Pytest warns that it cannot rewrite their modules for the second run, which is no fault."""
    code, said = run(tmp_path, "test_it.py", "--processes", "2", has_plugins=True)
    assert (code, said[-1]) == (0, "== 5 passed, 4 of them alone (flaky), 0 failed")


def test_what_is_skipped_alone_fails_the_run(tmp_path: Path) -> None:
    """A test that is skipped the second time fails the run, though pytest exits with 0."""
    (tmp_path / "test_only.py").write_text(
        "from test_it import runs\nimport pytest\n"
        "def test_skipped():\n    if runs('skipped') > 1: pytest.skip('no more')\n    assert 0\n"
    )
    code, said = run(tmp_path, "test_only.py")
    assert (code, said[-1]) == (1, "== 0 passed, 0 of them alone (flaky), 1 failed")


def test_tests_of_a_file_stay_together(tmp_path: Path) -> None:
    """A test may rely on what earlier tests of its file did; one that they spoil fails each
    time."""
    code, said = run(tmp_path, "test_together.py")
    assert (code, told(said, "flaky"), told(said, "failed again")) == (
        1, {"test_sums_up"}, {"test_spoiled"},
    )  # fmt: skip


def test_many_failures(tmp_path: Path) -> None:
    """If many tests fail, nothing is tried again."""
    code, said = run(tmp_path)
    assert code == 1
    assert not [line for line in said if line.startswith("== ")]


def test_what_is_never_tried_again() -> None:
    """Collection errors, interrupts, internal errors, and passed or empty runs are not tried
    again."""
    few = Outcomes()
    few.failed = {"a::b": "a"}
    assert few.is_tried_again(pytest.ExitCode.TESTS_FAILED)
    codes = [code for code in pytest.ExitCode if code != pytest.ExitCode.TESTS_FAILED]
    assert not any(few.is_tried_again(code) for code in codes)
    assert not Outcomes().is_tried_again(pytest.ExitCode.TESTS_FAILED)
    few.is_collected = False
    assert not few.is_tried_again(pytest.ExitCode.TESTS_FAILED)


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_how_many_are_few(count: int) -> None:
    """As many failures as the limit allows are still tried again."""
    outcomes = Outcomes()
    outcomes.failed = {f"a::{number}": "a" for number in range(count)}
    assert outcomes.is_tried_again(pytest.ExitCode.TESTS_FAILED) == (count <= FEW)


def test_a_file_that_cannot_be_collected(tmp_path: Path) -> None:
    """If a file cannot be collected, the run fails as pytest reports it, whatever else failed."""
    (tmp_path / "test_bad.py").write_text("import nothing_of_that_name")
    code, said = run(tmp_path, "--continue-on-collection-errors", "-k", "bad or flaky")
    assert code == 1
    assert not [line for line in said if line.startswith("== ")]
