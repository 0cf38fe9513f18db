"""helm and kubectl as functions, in one namespace that enforces `restricted`.

KUBECONFIG       the cluster; everything made there is in the namespace, which is deleted
BUNTIME_IMAGE    the image, as the nodes find it: NAME:TAG; default: that of the chart
INGRESS          the Service of the Ingress controller, NAMESPACE/NAME:PORT; default: k3s's
INGRESS_CLASS    its class; default: traefik
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.harness import ROOT

CHART = ROOT / "deploy/helm/buntime"
_WAIT_S = 300
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
KEY = "k" * 32  # for a namespace that lives for minutes

Values = Mapping[str, Any]


class Failed(Exception):
    """A program has failed; the text is its message."""


class Cluster(NamedTuple):
    """A namespace of a cluster."""

    tools: Path
    namespace: str
    image: str

    @classmethod
    def of_environment(cls) -> Cluster:
        tools = Path(os.environ["CLUSTER_TOOLS"])
        image = os.environ.get("BUNTIME_IMAGE", "")
        return cls(tools, f"buntime-test-{secrets.token_hex(4)}", image)

    # The namespace

    def begin(self) -> None:
        """Make the namespace, and the Secret with the master key."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        space = {"apiVersion": "v1", "kind": "Namespace"}
        self.apply(space | {"metadata": {"name": self.namespace, "labels": labels}})
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "master"},
                "stringData": {"master-key": KEY},
            }
        )

    def end(self) -> None:
        """Delete the namespace with everything in it, volumes too."""
        self.kubectl("delete", "namespace", self.namespace, "--wait=false")

    # Programs

    def helm(self, *words: str) -> str:
        return self._run("helm", *words, "--namespace", self.namespace)

    def kubectl(self, *words: str, text: str | None = None, timeout_s: float = _WAIT_S) -> str:
        return self._run(
            "kubectl", "--namespace", self.namespace, *words, text=text, timeout_s=timeout_s
        )

    def _run(
        self, program: str, *words: str, text: str | None = None, timeout_s: float = 2 * _WAIT_S
    ) -> str:
        done = subprocess.run(
            [self.tools / program, *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{program} {' '.join(words)}:\n{done.stderr.strip()}")
        return done.stdout

    # Objects

    def apply(self, made: Mapping[str, Any]) -> None:
        self.kubectl("apply", "--filename", "-", text=json.dumps(made))

    def get(self, *words: str) -> Any:
        """`get("pod", "web-0")`: the object, read from JSON."""
        return json.loads(self.kubectl("get", *words, "--output", "json"))

    def offers(self, api: str) -> bool:
        """Whether the cluster has an API such as `"route.openshift.io/v1"`."""
        return api in self.kubectl("api-versions").split()

    def install(self, release: str, values: Values) -> None:
        """Install a release of the chart with these values, and wait until its pods are ready."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(self.values(values), file)
            file.flush()
            wait = ["--wait", "--timeout", f"{_WAIT_S}s"]
            self.helm("upgrade", "--install", release, str(CHART), "--values", file.name, *wait)

    def values(self, values: Values) -> dict[str, Any]:
        """These values with those that all releases share: the image, and the Secret."""
        made = {"masterKey": {"secret": "master"}, **values}
        if self.image:
            repository, _, tag = self.image.rpartition(":")
            made["image"] = {"repository": repository, "tag": tag}
        return made

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int, namespace: str = "") -> Iterator[str]:
        """The URL of a tunnel: `forwarded("pod/web-0", 8001)`."""
        space = namespace or self.namespace
        command = ["--namespace", space, "port-forward", target, f":{port}"]
        process = subprocess.Popen(
            [self.tools / "kubectl", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            found = _FORWARDING.match(said)
            if found is None:
                raise Failed(f"kubectl port-forward {target}: {said.strip()}")
            yield f"http://localhost:{found[1]}"
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()
