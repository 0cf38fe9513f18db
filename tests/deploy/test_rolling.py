"""A rolling update loses no request with the chart's numbers, and loses some with worse ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.harness import wait_until, write_app
from tests.support.kubelet import PROPAGATION_S, Numbers, cluster
from tests.support.rollingtraffic import APP, flowing

CHART = Numbers.of_chart()


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    write_app(tmp_path / "apps/web", {"app.py": APP}, ttl=600, concurrency=20)
    return tmp_path / "apps"


def test_the_numbers_fit() -> None:
    """preStop is longer than proxies take; the grace period covers it, two drains and 10 s more."""
    assert CHART.pre_stop_s > PROPAGATION_S
    assert CHART.grace_s >= CHART.pre_stop_s + 60 + 10


def test_nothing_is_lost(tmp_path: Path, apps: Path) -> None:
    """An update of two pods: each client gets all of its answers, and no pod is killed."""
    with cluster(apps, tmp_path, CHART) as pods:
        with flowing(pods.port) as traffic:
            pods.update()
        assert traffic.lost == []
        assert pods.killed == 0
        assert {"get", "upload", "stream", "socket"} <= set(traffic.done)
        assert traffic.done["get"] > 100


def test_without_pre_stop(tmp_path: Path, apps: Path) -> None:
    """Without preStop the proxy still sends requests to a pod that takes no more of them."""
    numbers = CHART._replace(pre_stop_s=0.0, propagation_s=15.0)
    with cluster(apps, tmp_path, numbers) as pods:
        with flowing(pods.port) as traffic:
            wait_until(lambda: traffic.done["get"] > 20)
            pods.delete()
        assert traffic.lost != []


def test_a_readiness_that_lies(tmp_path: Path, apps: Path) -> None:
    """With a false readiness the proxy sends requests to a pod that does not listen yet."""
    with cluster(apps, tmp_path, CHART, pods=1) as pods:
        with flowing(pods.port) as traffic:
            wait_until(lambda: traffic.done["get"] > 20)
            pods.add(lies=True)
        assert traffic.lost != []
