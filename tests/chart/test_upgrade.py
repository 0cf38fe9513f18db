"""An upgrade from the last version of the chart keeps selectors and volumes."""

from __future__ import annotations

import json

from tests.chart.record import FILE, fixed


def test_nothing_fixed_has_changed() -> None:
    """What Kubernetes does not allow to change, and the paths of volumes, are as in the record."""
    assert json.loads(FILE.read_text("utf-8")) == fixed()
