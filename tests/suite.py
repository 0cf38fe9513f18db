"""The whole suite, as `python3 build.py test` runs it: files with a failure are run once more.

A test may fail because other work took the machine, and pass with nothing beside it. Such a test is
reported as flaky, so that somebody looks at it, and does not fail the run. A test that fails twice
does, and so does another test of its file that fails the second time. If more than FEW tests
failed, or some files could not be collected, nothing is tried again.

The whole file is run again because its tests share a runtime: a test that fails only after another
one, or that judges what the others left, would pass alone, and its failure would be hidden each
time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import pytest

FEW = 7
_PLUGIN = ["-p", "tests.processes"]
# For the first run in several processes. In a clean clone, rewriting the asserts takes longer than
# importing all tests. So a failed assert of this run only shows the local variables, and the run
# that repeats its file shows what it compared. The plugins are asked about each test or fixture,
# and no test needs them.
_LEAN = [
    "--assert=plain",
    "--showlocals",
    *(f"-pno:{name}" for name in ("logging", "subtests", "doctest", "setuponly", "setupplan")),
]

# The modules of plugins that the first run has imported are not rewritten, which is no fault.
_AGAIN = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]


class Outcomes:
    """A pytest plugin that records which tests passed and failed, by their ids."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: dict[str, str] = {}  # test id -> its file
        self.is_collected = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.is_collected &= not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Reports of setup, call and teardown: one failure outweighs what passed."""
        if report.failed:
            self.failed[report.nodeid] = report.nodeid.partition("::")[0]
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def is_tried_again(self, code: int) -> bool:
        """Whether there are few enough failures to try them again; `code` is pytest's exit code."""
        has_failed = code == pytest.ExitCode.TESTS_FAILED and self.is_collected
        return has_failed and 0 < len(self.failed) <= FEW

    def fine(self, names: Iterable[str]) -> list[str]:
        """Those of the tests that passed and never failed; a skipped test has not passed."""
        return [name for name in names if name in self.passed and name not in self.failed]


def main(args: Sequence[str]) -> int:
    """Run pytest with these arguments, those of tests/processes.py included.

    Returns its exit code, 0 if all passed in the end.
    """
    # In a single process the second run would find the modules of the first, not rewritten.
    first, code = _run([*_LEAN, *args] if "--processes" in args else args)
    if not first.is_tried_again(code):
        return code
    files = [*dict.fromkeys(first.failed.values())]
    _say(f"{len(first.failed)} failed: their files once more, with nothing beside them")
    second, code = _run([*_AGAIN, *files])
    fine = second.fine(first.failed)
    repeated = [name for name in first.failed if name not in fine]
    late = [name for name in second.failed if name not in first.failed]
    for name in fine:
        print(f"flaky: {name} failed beside other files and passed alone")
    for name in repeated:
        print(f"failed again: {name}")
    for name in late:
        print(f"failed alone: {name} had passed beside other files")
    passed = len((first.passed - first.failed.keys() - {*late}) | {*fine})
    failed = len(repeated) + len(late)
    _say(f"{passed} passed, {len(fine)} of them alone (flaky), {failed} failed")
    return code or int(failed > 0)


def _run(args: Sequence[str]) -> tuple[Outcomes, int]:
    outcomes = Outcomes()
    code = int(pytest.main([*_PLUGIN, *args], plugins=[outcomes]))
    sys.stdout.flush()
    return outcomes, code


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
