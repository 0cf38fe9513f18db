"""helm finds nothing wrong with the chart."""

from __future__ import annotations

from pathlib import Path

from tests.chart.helm import CHART, TOOLS, objects, run


def test_lint(tmp_path: Path) -> None:
    """`helm lint --strict` has neither an error nor a warning."""
    said = run([TOOLS / "helm", "lint", "--strict", CHART], str(tmp_path))
    assert "0 chart(s) failed" in said


def test_defaults() -> None:
    """Without any values there is one pod with a volume."""
    kinds = [each["kind"] for each in objects({})]
    assert sorted(kinds) == ["Pod", "Service", "Service", "ServiceAccount", "StatefulSet"]
