"""What docs/kubernetes.md promises, in a real cluster."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.kubernetes.cluster import KEY, Cluster, Failed
from tests.kubernetes.objects import APP, MANIFEST, asking, code, stateless, told
from tests.support.runs import run

_METRICS = "/apis/custom.metrics.k8s.io/v1beta1"
pytestmark = pytest.mark.timeout(900)


def ask(url: str, host: str = "") -> tuple[int, str]:
    """Status and body; (0, why) if there is no answer."""
    try:
        with httpx.Client(trust_env=False, timeout=30, verify=False) as client:
            answer = client.get(url, headers={"Host": host} if host else {})
            return answer.status_code, answer.text
    except httpx.HTTPError as exc:
        return 0, str(exc)


def eventually(is_so: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
    """Wait for the cluster's controllers: they act every few seconds, and no event announces it."""
    until = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < until, f"{what} within {timeout_s:.0f} s"
        time.sleep(2)


@contextmanager
def asked(cluster: Cluster, service: str, path: str, at_a_time: int) -> Iterator[list[int]]:
    """Meanwhile a pod sends requests to the Service; the list gets its answered and lost counts."""
    pod = asking(image(cluster), service, path, at_a_time)
    name, counts = pod["metadata"]["name"], list[int]()
    cluster.apply(pod)
    try:
        cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
        yield counts
        cluster.kubectl("exec", name, "--", "touch", "/tmp/end")
        ended = "--for=jsonpath={.status.phase}=Succeeded"
        cluster.kubectl("wait", f"pod/{name}", ended, "--timeout=90s")
        counts += told(cluster.kubectl("logs", name))
    finally:
        cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")


def image(cluster: Cluster) -> str:
    """The image that the pods run."""
    return cluster.image or str(
        cluster.get("statefulset", "state-buntime")["spec"]["template"]["spec"]["containers"][0][
            "image"
        ]
    )


@pytest.fixture(scope="module")
def stateful(cluster: Cluster) -> Cluster:
    """One pod with a volume, as by default."""
    cluster.install("state", {"state": {"size": "1Gi"}, "ingress": {"enabled": False}})
    return cluster


@pytest.fixture(scope="module")
def many(stateful: Cluster) -> Cluster:
    """Two pods that keep nothing."""
    stateful.apply(code())
    stateful.install("web", stateless(image(stateful)))
    return stateful


def test_an_app_answers(stateful: Cluster, tmp_path: Path) -> None:
    """An app that `buntime deploy` sends through a tunnel answers at the Service."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web/app.py").write_text(APP, "utf-8")
    (tmp_path / "web/buntime.yaml").write_text(MANIFEST, "utf-8")
    with stateful.forwarded("pod/state-buntime-0", 8001) as operators:
        env = {"HOME": str(tmp_path), "BUNTIME_KEY": KEY}
        env["PYTHONUTF8"] = "1"  # so it is started: these tests run too few commands to fork them
        done = run("deploy", "web", "--to", operators, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
    with stateful.forwarded("service/state-buntime", 80) as url:
        assert ask(f"{url}/web/") == (200, "here")


def test_helm_test(many: Cluster) -> None:
    """`helm test` finds health and the app."""
    many.helm("test", "state")
    many.helm("test", "web")


def test_the_volume_outlives_its_pod(stateful: Cluster) -> None:
    """A deleted pod comes back, with the app that was deployed to the one before."""
    before = stateful.get("pod", "state-buntime-0")["metadata"]["uid"]
    stateful.kubectl("delete", "pod", "state-buntime-0")
    stateful.kubectl("rollout", "status", "statefulset/state-buntime", "--timeout=240s")
    assert stateful.get("pod", "state-buntime-0")["metadata"]["uid"] != before
    with stateful.forwarded("service/state-buntime", 80) as url:
        assert ask(f"{url}/web/") == (200, "here")


def test_a_pod_is_restricted(stateful: Cluster) -> None:
    """The pod's user is not root, and it cannot write to its root file system."""
    uid = stateful.kubectl("exec", "state-buntime-0", "--", "id", "-u").strip()
    assert uid != "0"
    with pytest.raises(Failed):
        stateful.kubectl("exec", "state-buntime-0", "--", "touch", "/usr/x")


def test_an_update_loses_nothing(many: Cluster) -> None:
    """Two updates of all pods under load: each request gets its answer."""
    with asked(many, "web-buntime", "/web/", at_a_time=8) as counts:
        for number in ("1", "2"):
            many.install("web", stateless(image(many), podAnnotations={"update": number}))
            many.kubectl("rollout", "status", "deployment/web-buntime", "--timeout=240s")
    answered, lost = counts
    assert answered > 100
    assert lost == 0


def test_it_scales_by_our_metric(many: Cluster) -> None:
    """More requests in progress than the target make more pods."""
    try:
        offered = json.loads(many.kubectl("get", "--raw", _METRICS))["resources"]
    except Failed:
        offered = []
    if not offered:
        pytest.skip("the cluster has no custom metrics: install prometheus-adapter")
    aim = {"enabled": True, "min": 2, "max": 4, "cpuPercent": "", "requestsInProgress": 2}
    watched = {"settings": {"metrics": "public"}, "serviceMonitor": {"enabled": True}}
    many.install("web", stateless(image(many), autoscaling=aim, **watched))
    with asked(many, "web-buntime", "/web/slow", at_a_time=24) as counts:
        eventually(
            lambda: many.get("hpa", "web-buntime")["status"].get("currentReplicas", 0) > 2,
            "more than two pods",
        )
    assert counts[1] == 0


def test_an_ingress_or_a_route_answers(many: Cluster) -> None:
    """The app answers at its host."""
    if many.offers("route.openshift.io/v1"):
        many.install("web", stateless(image(many), route={"enabled": True}))
        host = many.get("route", "web-buntime")["spec"]["host"]
        eventually(lambda: ask(f"https://{host}/web/") == (200, "here"), "the Route answers")
        return
    space, service, port, name = _controller(many)
    host = "web.example.test"
    rules = {"enabled": True, "className": name, "hosts": [{"host": host}]}
    many.install("web", stateless(image(many), ingress=rules))
    with many.forwarded(f"service/{service}", port, namespace=space) as url:
        eventually(lambda: ask(f"{url}/web/", host) == (200, "here"), "the Ingress answers")


def _controller(cluster: Cluster) -> tuple[str, str, int, str]:
    """Namespace, Service, port and class of the Ingress controller; skips if there is none."""
    space, _, rest = os.environ.get("INGRESS", "kube-system/traefik:80").partition("/")
    service, _, port = rest.partition(":")
    try:
        cluster.kubectl("get", "service", service, "--namespace", space)
    except Failed:
        pytest.skip(f"there is no Ingress controller {space}/{service}: name one by INGRESS")
    return space, service, int(port), os.environ.get("INGRESS_CLASS", "traefik")


def test_an_uninstall_leaves_the_volume(many: Cluster) -> None:
    """The claim survives `helm uninstall`: only people delete apps and keys."""
    many.helm("uninstall", "state", "--wait")
    assert many.get("pvc", "data-state-buntime-0")["status"]["phase"] == "Bound"
    with pytest.raises((Failed, subprocess.TimeoutExpired)):
        many.get("statefulset", "state-buntime")
