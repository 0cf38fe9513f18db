"""What pods may do, when they are probed and ended, and how they are found."""

from __future__ import annotations

from typing import Any

import pytest

from buntime.core.admin.routes import OWN
from tests.chart.cases import NAMES, OLDEST, one, pods, rendered, server, variables, workload
from tests.chart.helm import Object, objects

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
_VOLUMES |= {"persistentVolumeClaim", "projected", "secret"}
_HOST = ("hostNetwork", "hostPID", "hostIPC")
# An image as a volume is read-only, and newer than the standard's list.
_BEYOND = {"mount": {"image"}}


def unrestricted(spec: Object, more_volumes: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """What in a pod goes beyond the standard `restricted`, or has a writable root file system."""
    pod = spec.get("securityContext", {})
    found = [name for name in _HOST if spec.get(name)]
    found += ["seccomp"] if pod.get("seccompProfile") != {"type": "RuntimeDefault"} else []
    found += ["runAsNonRoot"] if pod.get("runAsNonRoot") is not True else []
    found += ["root"] if pod.get("runAsUser") == 0 else []
    for volume in spec.get("volumes", []):
        [kind] = volume.keys() - {"name"}
        found += [] if kind in _VOLUMES | more_volumes else [f"volume {kind}"]
    for container in spec.get("initContainers", []) + spec["containers"]:
        security = container.get("securityContext", {})
        is_fine = (
            security.get("allowPrivilegeEscalation") is False
            and security.get("capabilities") == {"drop": ["ALL"]}
            and security.get("readOnlyRootFilesystem") is True
            and not security.get("privileged")
            and "runAsUser" not in security
            and not any("hostPort" in port for port in container.get("ports", []))
        )
        found += [] if is_fine else [container["name"]]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_restricted(name: str) -> None:
    """Each pod meets the standard `restricted`, with a read-only root file system."""
    for title, pod in pods(rendered(name)):
        assert unrestricted(pod["spec"], _BEYOND.get(name, set())) == [], title


def test_unrestricted_is_seen() -> None:
    """The check above finds what goes beyond the standard."""
    [(_, pod), *_] = pods(rendered("defaults"))
    spec = pod["spec"]
    assert unrestricted(spec | {"hostNetwork": True}) == ["hostNetwork"]
    assert unrestricted(spec | {"securityContext": {}}) == ["seccomp", "runAsNonRoot"]
    assert unrestricted(spec | {"volumes": [{"name": "a", "hostPath": {}}]}) == ["volume hostPath"]
    assert unrestricted(spec | {"containers": [{"name": "a"}]}) == ["a"]


@pytest.mark.parametrize("name", NAMES)
def test_no_rights_at_the_cluster(name: str) -> None:
    """Pods have no role, no token, and no variables of other Services."""
    for each in rendered(name):
        assert "Role" not in each["kind"]
        if each["kind"] == "ServiceAccount":
            assert each["automountServiceAccountToken"] is False
    for title, pod in pods(rendered(name)):
        assert pod["spec"]["automountServiceAccountToken"] is False, title
        assert pod["spec"]["enableServiceLinks"] is False, title


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_openshifts(name: str) -> None:
    """On OpenShift the cluster chooses uid and group; elsewhere they are the image's."""
    is_openshift = name.startswith("openshift") or name == "everything"
    for _, pod in pods(rendered(name)):
        security = pod["spec"]["securityContext"]
        assert (
            security.get("runAsUser")
            == security.get("fsGroup")
            == (None if is_openshift else 10001)
        )


@pytest.mark.parametrize("name", NAMES)
def test_probes(name: str) -> None:
    """Startup and liveness probes ask /live, readiness probes ask /ready; both paths exist."""
    container = server(rendered(name))
    prefix = variables(rendered(name)).get("RUNTIME_API_PREFIX", "")
    port = variables(rendered(name))["PORT"]
    assert [each["containerPort"] for each in container["ports"]] == [int(port)]
    asked = {}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
        asked[probe] = container[probe]["httpGet"]["path"].removeprefix(prefix)
    live, ready = "/api/health/live", "/api/health/ready"
    assert asked == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}
    assert {live, ready} <= {route.path for route in OWN}
    # A loop that stands still ends itself, with its threads' stacks, before it is killed.
    life = container["livenessProbe"]
    assert life["periodSeconds"] * life["failureThreshold"] >= 30


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", [OLDEST, "1.37.0"])
def test_times_of_an_end_fit(name: str, version: str) -> None:
    """Before it is killed, a pod has its preStop, twice the drain (requests, workers) and 10 s."""
    if name == "mount" and version == OLDEST:
        return
    found = rendered(name, version)
    stop = server(found).get("lifecycle", {}).get("preStop", {})
    waits = stop.get("sleep", {}).get("seconds", 0)
    if command := stop.get("exec", {}).get("command"):
        assert version == OLDEST
        assert command[0] == "sleep"
        waits = int(command[1])
    assert waits == (0 if name == "nothing" else 5)
    drain = {"1m": 60}.get(variables(found).get("RUNTIME_SHUTDOWN_TIMEOUT", ""), 30)
    grace = workload(found)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace == waits + 2 * drain + 10


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("500ms", 1),
        ("1.5s", 2),
        ("5m", 300),
        ("1h", 3600),
        ("45", 45),
        (45, 45),
        (0, 0),
        ("2 M", 120),
    ],
)
def test_durations_are_read_as_the_runtime_does(duration: Any, seconds: int) -> None:
    """The grace period follows shutdownTimeout, in whatever form that is written."""
    found = tuple(objects({"settings": {"shutdownTimeout": duration}}))
    grace = workload(found)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace == 5 + 2 * seconds + 10


def _covers(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@pytest.mark.parametrize("name", NAMES)
def test_selectors(name: str) -> None:
    """Services, the budget, the policy and the spread select only the runtime's pods."""
    found = rendered(name)
    labels = workload(found)["spec"]["template"]["metadata"]["labels"]
    others = [pod["metadata"]["labels"] for _, pod in pods(found)[1:]]
    others = [each for each in others if each != labels]
    selectors = [workload(found)["spec"]["selector"]["matchLabels"]]
    for each in found:
        if each["kind"] == "Service":
            selectors.append(each["spec"]["selector"])
        elif each["kind"] == "PodDisruptionBudget":
            selectors.append(each["spec"]["selector"]["matchLabels"])
        elif each["kind"] == "NetworkPolicy":
            selectors.append(each["spec"]["podSelector"]["matchLabels"])
    spread = workload(found)["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
    selectors += [each["labelSelector"]["matchLabels"] for each in spread]
    for selector in selectors:
        assert _covers(selector, labels)
        assert not any(_covers(selector, each) for each in others)


@pytest.mark.parametrize("name", ["everything", "own-metrics"])
def test_one_service_is_watched(name: str) -> None:
    """The ServiceMonitor finds the Service, but not the headless one, which has the same pods."""
    found = rendered(name)
    selector = one(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [each for each in found if each["kind"] == "Service"]
    watched = [each for each in services if _covers(selector, each["metadata"]["labels"])]
    assert [each["metadata"]["name"] for each in watched] == ["apps-buntime"]


@pytest.mark.parametrize("name", NAMES)
def test_mounts_have_volumes(name: str) -> None:
    """Each mount has its volume, each volume a mount, and no two mounts share a path."""
    for title, pod in pods(rendered(name)):
        spec = pod["spec"]
        volumes = {each["name"] for each in spec.get("volumes", [])}
        if "StatefulSet" in title:
            claims = workload(rendered(name))["spec"].get("volumeClaimTemplates", [])
            volumes |= {each["metadata"]["name"] for each in claims}
        mounted = set()
        for container in spec.get("initContainers", []) + spec["containers"]:
            mounts = container.get("volumeMounts", [])
            assert len({each["mountPath"] for each in mounts}) == len(mounts)
            mounted |= {each["name"] for each in mounts}
        assert mounted == volumes, title


@pytest.mark.parametrize("name", NAMES)
def test_several_pods_are_kept_apart(name: str) -> None:
    """Two pods or more have a budget and are spread over nodes; an update takes none away."""
    found = rendered(name)
    made = workload(found)
    scales = [each for each in found if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert ("replicas" in made["spec"]) != bool(scales)
    has_several = bool(scales) or made["spec"]["replicas"] > 1
    assert any(each["kind"] == "PodDisruptionBudget" for each in found) == has_several
    assert ("topologySpreadConstraints" in made["spec"]["template"]["spec"]) == has_several
    if made["kind"] == "Deployment":
        assert made["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    for scale in scales:
        assert scale["spec"]["scaleTargetRef"]["name"] == made["metadata"]["name"]
