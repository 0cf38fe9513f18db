"""What an upgrade of the chart cannot change: `python -m tests.chart.record` writes it again.

Kubernetes refuses another selector or claim of a StatefulSet, and another name would leave a volume
behind. So these are recorded as in the last version; changing them needs a new major version and
upgrade instructions in docs/kubernetes.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.chart.cases import rendered, workload

FILE = Path(__file__).with_name("record.json")
CASES = ("defaults", "many", "read-write-once-pod", "stateless-set", "everything")


def fixed() -> dict[str, Any]:
    """For each case: name, selector, claims and Services of the workload, and other claims."""
    return {name: _fixed(name) for name in CASES}


def _fixed(name: str) -> dict[str, Any]:
    found = rendered(name)
    made = workload(found)
    return {
        "kind": made["kind"],
        "name": made["metadata"]["name"],
        "selector": made["spec"]["selector"],
        "serviceName": made["spec"].get("serviceName"),
        "podManagementPolicy": made["spec"].get("podManagementPolicy"),
        "claims": made["spec"].get("volumeClaimTemplates", []),
        "mounts": [
            [each["name"], each["mountPath"], each.get("subPath")]
            for each in made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        ],
        "own": [
            {"name": each["metadata"]["name"], "spec": each["spec"]}
            for each in found
            if each["kind"] == "PersistentVolumeClaim"
        ],
        "headless": [
            each["metadata"]["name"]
            for each in found
            if each["kind"] == "Service" and each["spec"].get("clusterIP") == "None"
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(fixed(), indent=1) + "\n", "utf-8")
