"""The matrix: values as people have them, each rendered once for all tests."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

from tests.chart.helm import NEWEST, Object, objects

# Before 1.30 a pod's preStop cannot be a sleep. Apart from that, the chart looks at a version only
# for features that values turn on.
OLDEST, BEFORE_SLEEP, WITH_SLEEP = "1.27.0", "1.29.0", "1.30.0"
# One rendering before that version, and one from it on.
VERSIONS_RENDERED = (BEFORE_SLEEP, NEWEST)


class Case(NamedTuple):
    """Values, the oldest version that they are for, and what the cluster has beside Kubernetes."""

    values: dict[str, Any]
    oldest: str = OLDEST
    offers: tuple[str, ...] = ()


_MANY: dict[str, Any] = {"kind": "Deployment", "state": {"enabled": False}, "replicas": 3}
_AROUND: dict[str, Any] = {
    "masterKey": {"value": "master-SENTINEL"},
    "keys": [{"name": "ci", "sha256": "a" * 64, "roles": ["deployer"], "apps": ["shop"]}],
    "secrets": {"shop.DATABASE_URL": "postgres://SENTINEL"},
    "secretSettings": {"otelExporterOtlpHeaders": {"secret": "otel"}},
    "config": {"apps": {"blog-*": {"sandbox": "strict", "maxRequests": 1000000}}},
    "plugins": {
        "keyval": {"options": {"spaces": 2000000, "sync": "full"}},
        "authn": {"options": {"clientSecrets": {"secret": "oidc"}}},
    },
    "ingress": {"enabled": True, "className": "nginx", "affinity": "nginx"}
    | {"hosts": [{"host": "a.example.com"}, {"host": "*.b.example.com", "path": "/x"}]},
    "certManager": {"clusterIssuer": "letsencrypt"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway", "namespace": "infra"}]}
    | {"hostnames": ["a.example.com"], "timeout": "0s"},
    "route": {"enabled": True, "host": "a.apps.example.com", "timeout": "5m"},
    "networkPolicy": {"enabled": True, "restrictEgress": True}
    | {"from": [{"namespaceSelector": {}}], "operatorsFrom": [{"podSelector": {}}]}
    | {"egress": [{"ports": [{"port": 5432}]}]},
    "settings": {"adminListen": "0.0.0.0:8001", "shutdownTimeout": "1m", "apiPrefix": "/_"},
    "serviceMonitor": {"enabled": True, "secret": "viewer"},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "cronJobs": [
        {"name": "clean", "schedule": "*/5 * * * *", "path": "/shop/jobs/clean"},
        {"name": "mail", "schedule": "@daily", "path": "/shop/mail?all=1", "secret": "cron"},
    ],
    "test": {"path": "/shop/"},
    "labels": {"team": "web"},
    "annotations": {"owner": "web"},
    "podLabels": {"tier": "front"},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "image": {"digest": "sha256:" + "b" * 64, "pullSecrets": ["registry"]},
    "extraEnv": [{"name": "TZ", "value": "Europe/Berlin"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "tmp": {"inMemory": True},
    "service": {"type": "NodePort", "nodePort": 30080, "ipFamilyPolicy": "PreferDualStack"},
}

CASES: dict[str, Case] = {
    "defaults": Case({}),
    "image": Case({"apps": {"source": "image"}}),
    "claims": Case({"state": {"existingClaim": "a"}, "apps": {"pvc": {"existingClaim": "b"}}}),
    "read-write-once-pod": Case({"state": {"accessMode": "ReadWriteOncePod"}}),
    "copy": Case({"apps": {"source": "oci", "oci": {"image": "r.example.com/apps:1"}}}),
    "mount": Case(
        {"apps": {"source": "oci", "oci": {"image": "r.example.com/apps:1", "mode": "mount"}}},
        oldest="1.33.0",
    ),
    "stateless-set": Case({"state": {"enabled": False}, "replicas": 3}),
    "many": Case(_MANY),
    "many-image": Case(_MANY | {"apps": {"source": "image"}}),
    "many-copy": Case(_MANY | {"apps": {"source": "oci", "oci": {"image": "apps:1"}}}),
    "many-claim": Case(_MANY | {"apps": {"pvc": {"existingClaim": "a", "readOnly": True}}}),
    "cpu": Case(_MANY | {"autoscaling": {"enabled": True}}),
    "own-metrics": Case(
        _MANY
        | {"autoscaling": {"enabled": True, "requestsInProgress": 20, "queueRequests": 0.5}}
        | {"serviceMonitor": {"enabled": True}, "settings": {"metrics": "public"}}
    ),
    "keda": Case(
        _MANY | {"keda": {"enabled": True, "prometheus": "http://p:9090", "queueRequests": 1.5}}
    ),
    "gateway": Case(
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]}},
        offers=("gateway.networking.k8s.io/v1",),
    ),
    "openshift": Case(
        {"route": {"enabled": True}}, offers=("route.openshift.io/v1", "security.openshift.io/v1")
    ),
    "openshift-named": Case({"platform": "openshift", "route": {"enabled": True, "path": "/x"}}),
    "k3s": Case(
        {"ingress": {"enabled": True, "className": "traefik", "affinity": "traefik"}}
        | {"certManager": {"issuer": "local"}, "state": {"storageClass": "local-path"}},
        offers=("traefik.io/v1alpha1",),
    ),
    "k3s-own-hosts": Case(
        {"certManager": {"clusterIssuer": "le"}, "settings": {"trustedProxies": "10.42.0.0/16"}}
        | {"ingress": {"enabled": True, "hosts": [{"host": "a.example.com"}]}}
        | {"masterKey": {"secret": "key"}}
    ),
    "everything": Case(_AROUND, offers=("route.openshift.io/v1",)),
    "many-everything": Case(
        _AROUND | _MANY | {"autoscaling": {"enabled": True, "behavior": {"scaleDown": {}}}}
    ),
    "nothing": Case(
        {"serviceAccount": {"create": False}, "test": {"enabled": False}, "resources": {}}
        | {"topologySpread": {"enabled": False}, "podDisruptionBudget": {"enabled": False}}
        | {"drain": {"preStopSeconds": 0}, "state": {"enabled": False}}
        | {"apps": {"source": "image"}, "replicas": 0}
    ),
}
CASES["k3s"].values["ingress"]["hosts"] = [{"host": "apps.local"}]

NAMES = [*CASES]


@functools.cache
def rendered(name: str, version: str = NEWEST) -> tuple[Object, ...]:
    """The objects of a case."""
    case = CASES[name]
    return tuple(objects(case.values, version=version, offers=case.offers))


def one(found: tuple[Object, ...], kind: str, name: str = "") -> Object:
    """The only object of a kind, or the one with this name."""
    [object_] = [
        each
        for each in found
        if each["kind"] == kind and (not name or each["metadata"]["name"] == name)
    ]
    return object_


def workload(found: tuple[Object, ...]) -> Object:
    [object_] = [each for each in found if each["kind"] in ("StatefulSet", "Deployment")]
    return object_


def pods(found: tuple[Object, ...]) -> list[tuple[str, Object]]:
    """The templates of all pods, with what makes them: `("CronJob apps-clean", {...})`."""
    made = []
    for each in found:
        title = f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] == "Pod":
            made.append((title, each))
        elif each["kind"] == "CronJob":
            made.append((title, each["spec"]["jobTemplate"]["spec"]["template"]))
        elif each["kind"] in ("StatefulSet", "Deployment"):
            made.append((title, each["spec"]["template"]))
    return made


def server(found: tuple[Object, ...]) -> Object:
    """The container of the runtime."""
    [container] = workload(found)["spec"]["template"]["spec"]["containers"]
    return dict(container)


def variables(found: tuple[Object, ...]) -> dict[str, Any]:
    """Its variables: texts, or references to their values."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in server(found)["env"]}


def minor(version: str) -> int:
    """`"1.37.0"` -> 37"""
    return int(re.fullmatch(r"1\.(\d+)\.\d+", version)[1])  # type: ignore[index]
