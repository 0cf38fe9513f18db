"""Small wheels, made without a build."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping


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
    with zipfile.ZipFile(buffer, "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", buffer.getvalue()
