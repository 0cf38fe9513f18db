"""Contradictory values are refused with a sentence that says what to do."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest

from tests.chart.helm import CHART, Refused, objects

_MANY: dict[str, Any] = {"kind": "Deployment", "state": {"enabled": False}}
_ROUTE = {"enabled": True}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "Deployment"}, "kind=Deployment keeps no state"),
    ({"autoscaling": {"enabled": True}}, "want kind=Deployment"),
    ({"keda": {"enabled": True}}, "want kind=Deployment"),
    ({"replicas": 2}, "several pods cannot share the state"),
    (_MANY | {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}, "would both set"),
    (_MANY | {"autoscaling": {"enabled": True, "min": 9, "max": 2}}, "autoscaling.min is above"),
    (_MANY | {"keda": {"enabled": True, "prometheus": "http://p", "min": 11}}, "keda.min is above"),
    (_MANY | {"autoscaling": {"enabled": True, "cpuPercent": ""}}, "goes by nothing"),
    (
        _MANY | {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "set resources.requests.cpu",
    ),
    (_MANY | {"keda": {"enabled": True}}, "set keda.prometheus"),
    (
        _MANY | {"keda": {"enabled": True, "prometheus": "http://p", "requestsInProgress": ""}},
        "keda goes by nothing",
    ),
    ({"apps": {"source": "oci"}}, "set apps.oci.image"),
    ({"apps": {"oci": {"image": "a:1"}}}, "apps.oci.image is not used"),
    ({"apps": {"source": "image", "pvc": {"existingClaim": "a"}}}, "existingClaim is not used"),
    (
        _MANY | {"replicas": 2, "apps": {"pvc": {"accessMode": "ReadWriteOnce"}}},
        "accessMode=ReadWriteMany",
    ),
    (
        _MANY | {"state": {"enabled": False, "existingClaim": "a"}},
        "state.existingClaim is not used",
    ),
    (
        {"apps": {"path": "/tmp/apps"}},
        "apps.path is in /tmp, which has another use: choose another folder",
    ),
    ({"apps": {"path": "/var/lib/buntime"}}, "apps.path is in /var/lib/buntime"),
    ({"masterKey": {"value": "a", "secret": "b"}}, "remove masterKey.value"),
    (
        {"keys": [{"name": "a", "sha256": "a" * 64, "roles": []}], "keysFrom": {"secret": "b"}},
        "remove keys",
    ),
    ({"configFrom": {"secret": "a", "configMap": "b"}}, "both say the config file"),
    ({"configFrom": {"secret": "a"}, "config": {"apps": {}}}, "configFrom is the whole"),
    (
        {"configFrom": {"secret": "a"}, "plugins": {"keyval": {"enabled": False}}},
        "configFrom is the whole",
    ),
    (
        _MANY | {"plugins": {"keyval": {"enabled": True}}},
        "plugins.keyval keeps data, which needs state: set plugins.keyval.enabled=false",
    ),
    (
        {"extraEnv": [{"name": "RUNTIME_STATE", "value": "none"}]},
        "decides RUNTIME_STATE, by state.enabled: remove it from extraEnv",
    ),
    ({"extraEnv": [{"name": "RUNTIME_POOL_SIZE", "value": "1"}]}, "by settings"),
    ({"extraEnv": [{"name": "RUNTIME_MASTER_KEY", "value": "a"}]}, "by masterKey"),
    ({"drain": {"graceSeconds": 30}}, "have pods killed that still serve: set it to 75"),
    ({"service": {"nodePort": 30080}}, "service.type=NodePort"),
    ({"ingress": {"enabled": True}}, r"set ingress.hosts\[0\].host"),
    (
        {"ingress": {"enabled": True, "hosts": [{"host": "a.b"}], "tls": [{"hosts": ["c.d"]}]}},
        "names c.d, which is none of ingress.hosts: add it there, or remove it",
    ),
    (
        {"certManager": {"clusterIssuer": "a", "issuer": "b"}},
        "both say who issues",
    ),
    ({"certManager": {"issuer": "b"}}, "certManager is for the Ingress"),
    ({"httpRoute": {"enabled": True}}, "set httpRoute.parentRefs"),
    ({"route": _ROUTE, "platform": "kubernetes"}, "set platform=openshift"),
    (
        {"networkPolicy": {"enabled": True, "operatorsFrom": [{"podSelector": {}}]}},
        "set settings.adminListen",
    ),
    ({"networkPolicy": {"egress": [{}]}}, "set networkPolicy.restrictEgress"),
    ({"serviceMonitor": {"enabled": True}}, "set serviceMonitor.secret"),
]
MOUNT_SAID = (
    "apps.oci.mode=mount needs Kubernetes 1.33 and its feature ImageVolume: set apps.oci.mode=copy"
)
MOUNT = {"apps": {"source": "oci", "oci": {"image": "a:1", "mode": "mount"}}}


@functools.cache
def said_of(number: int) -> str:
    """What helm says about a row of REFUSED; "" if it renders it."""
    try:
        objects(REFUSED[number][0])
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=[each[1] for each in REFUSED])
def test_contradiction(number: int) -> None:
    """Contradictory values are not rendered."""
    assert re.search(REFUSED[number][1], said_of(number))


def test_an_image_as_a_volume_wants_a_version() -> None:
    """apps.oci.mode=mount is refused before 1.33, and the message says what to set instead."""
    with pytest.raises(Refused, match=MOUNT_SAID):
        objects(MOUNT, version="1.32.0")
    objects(MOUNT, version="1.33.0")


def test_each_sentence_is_tried() -> None:
    """Every sentence of templates/checks.yaml occurs in a test."""
    text = (CHART / "templates/checks.yaml").read_text("utf-8")
    written = re.findall(r'fail (?:\(printf )?"((?:[^"\\]|\\.)*)"', text)
    assert len(written) > 30
    seen = [said_of(number) for number in range(len(REFUSED))] + [MOUNT_SAID]
    for sentence in written:
        pieces = re.split(r"%[sd]", sentence.replace('\\"', '"'))
        pattern = ".*".join(map(re.escape, pieces))
        assert any(re.search(pattern, each) for each in seen), sentence
