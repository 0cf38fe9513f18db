"""The whole suite, as `python3 build.py test` runs it: files with a failure are run once more.

A test may fail because others took the machine, and pass with nothing beside it. Such a one is told
as flaky, so that somebody looks at it, and does not fail the run. One that fails twice does, and so
does another of its file that fails then. Where more than FEW have failed, or files could not be
collected, nothing is tried again.

It is the whole file, as its tests share a runtime: one that fails only behind another, or that
judges what the others have left, would pass alone, and its failure would be hidden each time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import pytest

FEW = 7
_ALONE = ["-n", "0"]


class Outcomes:
    """A plugin of pytest: which tests passed and failed, by their ids."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.failed: dict[str, str] = {}  # its id -> its file
        self.is_collected = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.is_collected &= not report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of setup, call and teardown: one failure outweighs what passed."""
        if report.failed:
            self.failed[report.nodeid] = report.nodeid.partition("::")[0]
        elif report.passed and report.when == "call":
            self.passed.add(report.nodeid)

    def is_tried_again(self, code: int) -> bool:
        """Whether failures are few enough to be looked at one by one; `code` is pytest's."""
        has_failed = code == pytest.ExitCode.TESTS_FAILED and self.is_collected
        return has_failed and 0 < len(self.failed) <= FEW

    def fine(self, names: Iterable[str]) -> list[str]:
        """Those of the tests that have passed and not failed; one that was skipped has not."""
        return [name for name in names if name in self.passed and name not in self.failed]


def main(args: Sequence[str]) -> int:
    """Run pytest with these arguments; returns its exit code, 0 where all passed at last."""
    first, code = _run(args)
    if not first.is_tried_again(code):
        return code
    files = [*dict.fromkeys(first.failed.values())]
    _say(f"{len(first.failed)} failed: their files once more, with nothing beside them")
    second, code = _run([*_ALONE, *files])
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
    code = int(pytest.main([*args], plugins=[outcomes]))
    sys.stdout.flush()
    return outcomes, code


def _say(text: str) -> None:
    print(f"== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
