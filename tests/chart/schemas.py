"""Objects judged strictly by the schemas that Kubernetes publishes, and by those of CRDs.

kubernetes-validate has the schemas of each version as files. They are read once here, because the
package itself reads a megabyte for each object. Other objects are judged by what their makers
publish: `crds/`, see crdfiles.py.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import referencing
from kubernetes_validate.utils import all_versions

HERE = Path(__file__).parent
FOLDER = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
# "1.27.0", ...: the versions that the chart supports.
VERSIONS = [each for each in all_versions() if int(each.split(".")[1]) >= 27]

CRDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (HERE / "crds").glob("*.json")
}


def faults(object_: dict[str, Any], version: str) -> list[str]:
    """What is wrong with an object, by the schema of its kind."""
    title = f"{object_['kind']} {object_['metadata']['name']}"
    judge = (
        _crd_judge(object_["kind"])
        if object_["kind"] in CRDS
        else _judge(object_["kind"], object_["apiVersion"], version)
    )
    return [
        f"{title}: {'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in judge.iter_errors(object_)
    ]


@functools.cache
def _crd_judge(kind: str) -> Any:
    return jsonschema.Draft202012Validator(CRDS[kind])


@functools.cache
def _judge(kind: str, api: str, version: str) -> Any:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api)
    schema = json.loads(
        (FOLDER / f"v{version}-local-strict/{kind.lower()}-{group}.json").read_text("utf-8")
    )
    return jsonschema.Draft202012Validator(schema, registry=definitions(version))


@functools.cache
def definitions(version: str) -> Any:
    """The registry with what the schemas of a version refer to."""
    text = (FOLDER / f"v{version}-local-strict/_definitions.json").read_text("utf-8")
    resource = referencing.Resource.from_contents(
        json.loads(text), default_specification=referencing.jsonschema.DRAFT202012
    )
    # Crawled here, because otherwise each validator would do it again: 0.1 s for every object.
    return referencing.Registry().with_resource("_definitions.json", resource).crawl()
