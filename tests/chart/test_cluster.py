"""What tests/kubernetes runs in a cluster follows its schemas, and the standard `restricted`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import NEWEST, ROOT, objects
from tests.chart.schemas import VERSIONS, faults
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.objects import asking, code, stateless

IMAGE = "ghcr.io/buntime/buntime:0.2.0"
CLUSTER = Cluster(Path("/nowhere"), "web", IMAGE)
METRIC = {"enabled": True, "min": 2, "max": 4, "cpuPercent": "", "requestsInProgress": 2}
VALUES: dict[str, Any] = {
    "stateful": {"state": {"size": "1Gi"}, "ingress": {"enabled": False}},
    "update": stateless(IMAGE, podAnnotations={"update": "1"}),
    "metric": stateless(
        IMAGE,
        autoscaling=METRIC,
        settings={"metrics": "public"},
        serviceMonitor={"enabled": True},
    ),
    "ingress": stateless(
        IMAGE,
        ingress={"enabled": True, "className": "traefik", "hosts": [{"host": "web.example.test"}]},
    ),
    "route": stateless(IMAGE, route={"enabled": True}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """The chart accepts the values, and makes objects without a fault."""
    found = objects(CLUSTER.values(VALUES[name]))
    assert [fault for each in found for fault in faults(each, NEWEST)] == []
    [pod] = [each for each in found if each["kind"] in ("StatefulSet", "Deployment")]
    spec = pod["spec"]["template"]["spec"]
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["image"] == IMAGE
        told = container["securityContext"]
        assert told["capabilities"] == {"drop": ["ALL"]}
        assert (told["allowPrivilegeEscalation"], told["runAsNonRoot"]) == (False, True)


def test_objects() -> None:
    """The objects that the tests make themselves have no fault either."""
    pod = asking(IMAGE, "web-buntime", "/web/", 8)
    for version in (VERSIONS[0], NEWEST):
        assert faults(pod, version) == []
        assert faults(code(), version) == []
    assert pod["spec"]["containers"][0]["env"][0] == {"name": "SERVER", "value": "web-buntime"}


def test_the_adapter_has_the_rule_of_the_page() -> None:
    """The rule of docs/metrics.md is what the release workflow gives prometheus-adapter."""
    adapter = yaml.safe_load((ROOT / "tests/kubernetes/adapter.yaml").read_text("utf-8"))
    page = (ROOT / "docs/metrics.md").read_text("utf-8")
    block = page.partition("for prometheus-adapter:\n\n```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(block)["rules"] == adapter["rules"]["custom"]
