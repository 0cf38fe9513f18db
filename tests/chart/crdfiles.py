"""Writes tests/chart/crds/: how the makers of other kinds of objects define them, as strict
schemas.

Run it by hand to move to a newer version, in an environment that has PACKAGES, with two files from
npm: Route's from openshift-rest-client, and HTTPRoute's from @kubernetes-models/gateway-api 0.5.1,
the last version made from the CRDs (later ones contain compiled code instead of a schema):

    python -m tests.chart.crdfiles openshift-openapi-spec.json.gz v1/HTTPRoute.js

The packages are made from the CRDs themselves. Texts for people are left out, and no object takes
unknown keys. Rules in CEL are lost: only an API server checks those.
"""

from __future__ import annotations

import gzip
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("crds")
# Kind, the module with its models, and the version of the project whose CRDs they are made from.
PACKAGES = {
    "ClusterIssuer": ("cloudcoil.models.cert_manager.v1", "cert-manager 1.17.1"),
    "PrometheusRule": ("cloudcoil.models.prometheus_operator.v1", "prometheus-operator 0.80.1"),
    "ScaledObject": ("cloudcoil.models.keda.v1alpha1", "KEDA 2.16.1"),
    "ServiceMonitor": ("cloudcoil.models.prometheus_operator.v1", "prometheus-operator 0.80.1"),
}
# As the package's crd-generate names it: standard-install.yaml and experimental-install.yaml.
_GATEWAY = "Gateway API 1.0.0"
# `nullable` is left out too: the chart writes no null.
_FOR_PEOPLE = ("title", "description", "default", "format", "nullable")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
# The part of Kubernetes' metadata that the cluster does not write itself.
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
    """A schema that allows only the keys it names; with `names` its own keys are property names."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if isinstance(schema, str):
        return schema.replace("^(?i)", "(?i)^")  # a pattern of Go, in the order that Python needs
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
    """The schema of Route, from OpenShift's own description of its API."""
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
    found[f"{start}Spec"]["required"].remove("host")  # without one the cluster chooses it
    found[start]["required"] = [
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    ]  # the cluster writes the status
    return {"$comment": "OpenShift", "$ref": f"#/$defs/{start}", "$defs": found}


def of_gateway(file: Path) -> dict[str, Any]:
    """The schema of HTTPRoute, a literal in a JavaScript module."""
    [told] = re.findall(r"^const schema = (\{.*?^\});", file.read_text("utf-8"), re.S | re.M)
    schema = strict(json.loads(told))
    schema["properties"]["metadata"] = _METADATA
    del schema["properties"]["status"]  # the cluster writes it
    schema["required"].append("metadata")
    return {"$comment": _GATEWAY, **schema}


def main(args: list[str]) -> int:
    route, http_route = map(Path, args)
    made = {kind: of_model(kind) for kind in PACKAGES}
    made |= {"Route": of_openshift(route), "HTTPRoute": of_gateway(http_route)}
    FOLDER.mkdir(exist_ok=True)
    for kind, schema in made.items():
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        (FOLDER / f"{kind}.json").write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
