"""Test files are spread over several processes, and what is printed is as if there were one."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.support.pytestruns import complete

NOTING = """
    import os, pathlib

    FOLDER = pathlib.Path(__file__).parent

    def note(text):
        with (FOLDER / "notes").open("a") as file:
            file.write(f"{os.getpid()} {text}\\n")
"""
CONFTEST = """
    from noting import note
    import pytest

    @pytest.fixture(scope="session")
    def whole():
        note("begins")
        yield
        note("ends")
"""
PAIR = """
    from noting import note
    import pytest

    @pytest.mark.parametrize("text", ["a", "::[\\u00e9"])
    def test_well(whole, text): note("test")
    def test_last(): note("test")
"""
MIXED = """
    import pytest

    def test_passes(): print("unseen")
    def test_fails():
        print("seen")
        assert 1 == 2
    def test_skipped(): pytest.skip("for a reason")
    @pytest.mark.xfail(strict=True)
    def test_expected(): assert 0
    @pytest.fixture
    def raises(): raise ValueError("in setup")
    def test_set_up(raises): pass
"""
DIES = """
    import signal

    def test_before(): pass
    def test_dies(): nested(50)
    def nested(times): return nested(times - 1) if times else signal.raise_signal(signal.SIGSEGV)
    def test_behind(): pass
"""


def run(folder: Path, *args: str, processes: int = 2) -> tuple[int, str]:
    """Run the tests of the folder; returns the exit code, and what is printed."""
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (folder / "noting.py").write_text(textwrap.dedent(NOTING))
    (folder / "conftest.py").write_text(textwrap.dedent(CONFTEST))
    options = ["-p", "tests.processes", f"--processes={processes}", "-p", "no:cacheprovider", "-rs"]
    done = complete("pytest", [*options, *args], folder)
    assert done.stderr == ""
    return done.returncode, done.stdout


def write(folder: Path, **files: str) -> None:
    for name, source in files.items():
        (folder / f"test_{name}.py").write_text(textwrap.dedent(source), errors="surrogatepass")


def notes(folder: Path) -> dict[str, list[str]]:
    """What each process noted, by its number."""
    found: dict[str, list[str]] = {}
    for line in (folder / "notes").read_text().splitlines():
        pid, text = line.split()
        found.setdefault(pid, []).append(text)
    return found


@pytest.mark.parametrize("processes", [1, 9])
def test_each_test_runs_once(tmp_path: Path, processes: int) -> None:
    """What is set up for the session is set up once in each process, and ends with it."""
    write(tmp_path, one=PAIR, two=PAIR, three=PAIR)
    code, said = run(tmp_path, processes=processes)
    assert code == 0, said
    assert " 9 passed in" in said
    seen = notes(tmp_path)
    assert 1 <= len(seen) <= min(processes, 3)
    assert sum(texts.count("test") for texts in seen.values()) == 9
    for texts in seen.values():
        assert (texts[0], texts[-1]) == ("begins", "ends")
        assert len([text for text in texts if text != "test"]) == 2


def test_outcomes_are_reported(tmp_path: Path) -> None:
    """Failures come with what pytest says of them, and what a passing test prints does not."""
    write(tmp_path, mixed=MIXED, pair=PAIR)
    code, said = run(tmp_path)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 4 passed, 1 skipped, 1 xfailed, 1 error" in said
    assert "assert 1 == 2" in said
    assert "ValueError: in setup" in said
    assert "for a reason" in said
    assert "seen" in said.split()
    assert "unseen" not in said


def test_a_process_that_dies(tmp_path: Path) -> None:
    """Its test fails with what Python said last, however long its trace is; other files run in
    another process."""
    write(tmp_path, a_dies=DIES, b_pair=PAIR, c_pair=PAIR)
    code, said = run(tmp_path, processes=1)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 7 passed" in said
    assert "test_a_dies.py::test_dies" in said
    assert "the rest of test_a_dies.py was not run: exit code -11" in said
    assert "Fatal Python error: Segmentation fault" in said


def test_a_process_that_ends_at_once(tmp_path: Path) -> None:
    """If a process ends before it has collected any test, no other one is tried."""
    write(tmp_path, ends="import os; os._exit(9)", pair=PAIR)
    code, said = run(tmp_path)
    assert code == pytest.ExitCode.INTERNAL_ERROR
    assert "a process that runs tests has not started: exit code 9" in said


def test_what_many_files_import(tmp_path: Path) -> None:
    """It is imported once, before the processes are forked; what few import is not."""
    for name in ("many", "few", "broken"):
        (tmp_path / f"{name}.py").write_text(f"from noting import note\nnote('{name}')\n")
    with (tmp_path / "broken.py").open("a") as file:
        file.write("raise ValueError('not this one')\n")
    use = "import many\ndef test_it(): many.note('test')\n"
    write(tmp_path, a="import few\n" + use, b=use, c=use, d="import broken", e="import broken")
    code, said = run(tmp_path)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "3 passed, 2 errors" in said
    assert said.count("ValueError: not this one") >= 2
    seen = notes(tmp_path)
    first = next(iter(seen))
    assert [pid for pid, texts in seen.items() if "many" in texts] == [first]
    assert "test" not in seen[first]
    assert sum(texts.count("many") for texts in seen.values()) == 1
    assert sum(texts.count("few") for texts in seen.values()) == 1


def test_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    write(tmp_path, bad="import nothing_of_that_name", pair=PAIR)
    code, said = run(tmp_path)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "3 passed, 1 error" in said
    assert "No module named 'nothing_of_that_name'" in said


def test_the_run_stops_at_the_first_failure(tmp_path: Path) -> None:
    write(tmp_path, **{f"{number}_mixed": MIXED for number in range(9)})
    code, said = run(tmp_path, "-x", processes=1)
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "stopping after 1 failures" in said


def test_what_is_named(tmp_path: Path) -> None:
    """Folders, files and tests can be named, and folders can be left out, as always with pytest."""
    (tmp_path / "within" / "deeper").mkdir(parents=True)
    (tmp_path / "without").mkdir()
    write(tmp_path, pair=PAIR)
    write(tmp_path / "within", inner=PAIR, left=PAIR)
    write(tmp_path / "within" / "deeper", deep=PAIR)
    write(tmp_path / "without", never=PAIR)
    (tmp_path / "without" / "conftest.py").write_text("collect_ignore_glob = ['test_*.py']")
    args = ["test_pair.py::test_last", "within", "without", "--ignore=within/test_left.py"]
    code, said = run(tmp_path, *args, "-v", processes=1)
    assert code == 0, said
    assert {line.split()[0] for line in said.splitlines() if "PASSED" in line} == {
        "test_pair.py::test_last",
        *(
            f"within/{file}::{test}"
            for file in ("test_inner.py", "deeper/test_deep.py")
            for test in ("test_last", "test_well[a]", "test_well[::[\\xe9]")
        ),
    }


def test_fixtures_of_a_folder(tmp_path: Path) -> None:
    """Each file of a folder sees the fixtures of its conftest.py, whatever ran before it."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / "conftest.py").write_text(
            f"import pytest\n@pytest.fixture(scope='package')\ndef which(): return '{name}'\n"
        )
        own = f"def test_which(which): assert which == '{name}'\n"
        write(tmp_path / name, **{f"{name}_{number}": own for number in range(3)})
    code, said = run(tmp_path, processes=1)
    assert code == 0, said
    assert "6 passed" in said


def test_fixtures_of_a_folder_that_is_named(tmp_path: Path) -> None:
    """The tests of a folder that an argument names have the fixtures of its conftest.py."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef own(): return 3\n")
    (inner / "test_own.py").write_text("def test_own(own): assert own == 3\n")
    code, printed = run(tmp_path, "inner")
    assert code == 0, printed
    assert "1 passed" in printed


def test_no_tests(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_file_whose_tests_are_all_left_out(tmp_path: Path) -> None:
    """Its process goes on with the next file."""
    write(tmp_path, one=PAIR, other="def test_other(): pass\n")
    code, said = run(tmp_path, "-k", "test_last", processes=1)
    assert (code, " 1 passed" in said) == (0, True), said
