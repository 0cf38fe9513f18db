"""Small wheels, and a package that pip has to build."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
"""
_BACKEND = """
def build_wheel(folder, config_settings=None, metadata_directory=None):
    with open(f"{folder}/NAME", "wb") as wheel:
        wheel.write(DATA)
    return "NAME"
"""


def make_wheel(
    name: str, version: str, modules: Mapping[str, str], metadata: str = ""
) -> tuple[str, bytes]:
    """The name and content of a wheel with these files, `{"tea.py": "NAME = 'tea'"}`.

    `metadata` are further lines of METADATA.
    """
    info = f"{name}-{version}.dist-info"
    files = {
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", buffer.getvalue()


def make_source(code: str) -> dict[str, str]:
    """The files of the package `tiny`, with `VALUE = 'tiny'`, whose build begins with `code`."""
    name, data = make_wheel("tiny", "1.0", {"tiny.py": "VALUE = 'tiny'"})
    backend = _BACKEND.replace("NAME", name).replace("DATA", repr(data))
    return {"pyproject.toml": _PROJECT, "backend.py": code + backend}
