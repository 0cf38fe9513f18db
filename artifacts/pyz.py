"""Makes dist/buntime.pyz, which runs on any CPython from 3.11 on; the same bytes at each build."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from artifacts.content import ROOT, content, index

SIZE_MAX_BYTES = 2_000_000  # size limit; more means that something got in
_SHEBANG = b"#!/usr/bin/env python3\n"
_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that the format can express
_LAUNCHER = {
    "__main__.py": "artifacts/pyz_main.py",
    "cachefolder.py": "buntime/server/bundle/cachefolder.py",
    "unpack.py": "artifacts/unpack.py",
}


def build(site_packages: Path, target: Path) -> None:
    """Write the archive to `target`."""
    files = content(site_packages)
    members = {name: (ROOT / source).read_bytes() for name, source in _LAUNCHER.items()}
    members["index.txt"] = index("pyz", files).encode()
    members |= {f"content/{path}": data for path, data in files.items()}
    target.parent.mkdir(exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_bytes(_zipped(members))
    fresh.chmod(0o755)
    fresh.replace(target)


def _zipped(members: Mapping[str, bytes]) -> bytes:
    """A runnable zip archive that depends only on its members (and on zlib's version)."""
    buffer = io.BytesIO()
    buffer.write(_SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(name, _TIME)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # Unix, even if built elsewhere
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()
