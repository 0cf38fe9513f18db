"""What the tests run in a cluster: values of the chart, an app, and a pod that sends requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.kubernetes.cluster import Values

APP = """
import time
from buntime import Response

def fetch(request):
    if request.path.endswith("/slow"):
        time.sleep(1)
    return Response("here")
"""
MANIFEST = "ttl: 600\nconcurrency: 50\nentrypoint: app.py\n"
# Sends requests in turn, each over a new connection, until it is told to end; then reports.
ASKING = (Path(__file__).parent / "asking.sh").read_text("utf-8")
_TOLD = re.compile(r"^answered (\d+) lost (\d+)$", re.MULTILINE)
_CONFINED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
}


def code(name: str = "web") -> dict[str, Any]:
    """A ConfigMap with the app's files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-code"},
        "data": {"app.py": APP, "buntime.yaml": MANIFEST},
    }


def stateless(image: str, name: str = "web", **more: Any) -> Values:
    """Two pods that keep nothing, with the app from the ConfigMap."""
    mounts = [{"name": "apps", "mountPath": "/srv/apps"}, {"name": "code", "mountPath": "/code"}]
    copy = {
        "name": "code",
        "image": image,
        "command": ["sh", "-euc", "mkdir -p /srv/apps/web && cp -L /code/* /srv/apps/web/"],
        "securityContext": _CONFINED,
        "volumeMounts": mounts,
    }
    return {
        "kind": "Deployment",
        "replicas": 2,
        "state": {"enabled": False},
        "apps": {"source": "image"},
        "initContainers": [copy],
        "extraVolumes": [
            {"name": "apps", "emptyDir": {}},
            {"name": "code", "configMap": {"name": f"{name}-code"}},
        ],
        "extraVolumeMounts": mounts[:1],
        "test": {"path": "/web/"},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        **more,
    }


def asking(image: str, service: str, path: str, at_a_time: int = 1) -> dict[str, Any]:
    """A pod that sends requests to the Service until it is deleted or told to end."""
    variables = {"SERVER": service, "REQUEST_PATH": path, "AT_A_TIME": str(at_a_time)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"asking-{service}"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "asking",
                    "image": image,
                    "command": ["bash", "-c", ASKING],
                    "env": [{"name": key, "value": value} for key, value in variables.items()],
                    "securityContext": _CONFINED,
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def told(log: str) -> tuple[int, int]:
    """How many answers the pod got, and how many requests were lost: `(812, 0)`."""
    found = _TOLD.findall(log)
    if not found:
        raise AssertionError(f"the asking pod has not ended: {log[-500:]}")
    return sum(int(each[0]) for each in found), sum(int(each[1]) for each in found)
