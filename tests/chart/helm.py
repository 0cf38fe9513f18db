"""helm as a function: takes values, returns objects."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/buntime"
TOOLS = Path(os.environ.get("CHART_TOOLS", "/nowhere"))
RELEASE, NAMESPACE = "apps", "web"
NEWEST = "1.37.0"

Object = dict[str, Any]
Values = Mapping[str, Any]


class Refused(Exception):
    """helm refused to render; the text is what it printed."""


def render(
    values: Values,
    *,
    version: str = NEWEST,
    offers: tuple[str, ...] = (),
    chart: Path = CHART,
    with_notes: bool = False,
) -> str:
    """The YAML that helm renders from values in a user's file; raises Refused."""
    with tempfile.TemporaryDirectory(prefix="buntime-chart-") as folder:
        file = Path(folder) / "values.yaml"
        file.write_text(json.dumps(dict(values), ensure_ascii=False), "utf-8")  # JSON is YAML
        command = [TOOLS / "helm", "template", RELEASE, chart, "--namespace", NAMESPACE]
        command += ["--kube-version", version, "--values", file]
        command += [word for each in offers for word in ("--api-versions", each)]
        if with_notes:
            command = [TOOLS / "helm", "install", RELEASE, chart, "--namespace", NAMESPACE]
            command += ["--dry-run=client", "--values", file]
        return run(command, folder)


def run(command: list[Any], home: str) -> str:
    """What helm prints; everything that it keeps goes to `home`."""
    homes = {f"HELM_{each}_HOME": home for each in ("CACHE", "CONFIG", "DATA")}
    env = {"PATH": os.environ["PATH"], "HOME": home, **homes}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout


def objects(values: Values, **options: Any) -> list[Object]:
    """The objects that helm renders from values."""
    return parse(render(values, **options))


def parse(text: str) -> list[Object]:
    """The objects in a stream of YAML documents."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(text, loader) if each]
