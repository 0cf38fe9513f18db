"""Writes tests/chart/crds/: what the makers of other objects say of them, as strict schemas.

By hand, when a newer version is to be judged by, in an environment that has PACKAGES, with the file
of Route from npm's openshift-rest-client:

    python -m tests.chart.crdfiles openshift-openapi-spec.json.gz

The packages are made from the CRDs themselves. What is for people is left out; each object takes
no key beside its own.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("crds")
# Kind, module of its models, version of the project whose CRDs they are made from.
PACKAGES = {
    "ClusterIssuer": ("cloudcoil.models.cert_manager.v1", "cert-manager 1.17.1"),
    "PrometheusRule": ("cloudcoil.models.prometheus_operator.v1", "prometheus-operator 0.80.1"),
    "ScaledObject": ("cloudcoil.models.keda.v1alpha1", "KEDA 2.16.1"),
    "ServiceMonitor": ("cloudcoil.models.prometheus_operator.v1", "prometheus-operator 0.80.1"),
}
_FOR_PEOPLE = ("title", "description", "default", "format")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# Of what Kubernetes has there, the part that somebody else than the cluster writes.
_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "namespace": {"type": "string", "minLength": 1},
        "labels": _TEXTS,
        "annotations": _TEXTS,
    },
}


def strict(schema: Any, *, names: bool = False) -> Any:
    """A schema with no key allowed that it does not name; `names`: keys are names of properties."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if isinstance(schema, str):
        return schema.replace("^(?i)", "(?i)^")  # a pattern of Go, which Python wants so
    if not isinstance(schema, dict):
        return schema
    made = {
        key: strict(value, names=key in ("properties", "$defs"))
        for key, value in schema.items()
        if names or key not in _FOR_PEOPLE
    }
    if not names and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def of_model(kind: str) -> dict[str, Any]:
    """The schema of one of PACKAGES."""
    module, version = PACKAGES[kind]
    told = getattr(importlib.import_module(module), kind).model_json_schema(by_alias=True)
    told["$defs"]["ObjectMeta"] = _METADATA
    return {"$comment": version, **strict(told)}


def of_openshift(file: Path) -> dict[str, Any]:
    """The schema of Route, by OpenShift's own description of its API."""
    defined = json.loads(gzip.decompress(file.read_bytes()))["definitions"]
    start, found = "com.github.openshift.api.route.v1.Route", {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            told = json.dumps(defined[name]).replace("#/definitions/", "#/$defs/")
            found[name] = strict(json.loads(told))
            waiting += [part.split('"')[0] for part in told.split("#/$defs/")[1:]]
    found["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"] = _METADATA
    found["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"type": ["integer", "string"]}
    found[f"{start}Spec"]["required"].remove("host")  # where it is empty the cluster chooses one
    found[start]["required"] = [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    ]  # a status is the cluster's
    return {"$comment": "OpenShift", "$ref": f"#/$defs/{start}", "$defs": found}


def main(args: list[str]) -> int:
    made = {kind: of_model(kind) for kind in PACKAGES} | {"Route": of_openshift(Path(args[0]))}
    FOLDER.mkdir(exist_ok=True)
    for kind, schema in made.items():
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        (FOLDER / f"{kind}.json").write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
