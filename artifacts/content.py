"""The content of both files: the runtime, its plugins, packages, and example apps.

Only what runs on any CPython from 3.11 on: modules as source, and no compiled parts of packages.
PyYAML works without its compiled part; the manifests it reads here are small.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_NOT_CARRIED = {"__pycache__", "data"}  # folders: created by running, besides environments


def content(site_packages: Path) -> dict[str, bytes]:
    """All files by their path; `site_packages` has what requirements/runtime.txt pins."""
    files = dict(_sources(ROOT / "buntime", (".py", ".js", ".d.ts")))
    files |= _sources(ROOT / "apps")
    for plugin in (ROOT / "plugins").glob("*/"):
        files |= _sources(plugin)
    files["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    for package in _packages(site_packages):
        files |= _modules(package)
    return dict(sorted(files.items()))


def index(kind: str, files: Mapping[str, bytes], modes: Mapping[str, str] | None = None) -> str:
    """The index of unpack.py; the first line names the folder after the contents.

    `modes` has those that are not 0644: `{"bin/python3.11": "0755", "bin/python": "120777"}`.
    """
    modes = modes or {}
    lines = [f"{modes.get(path, '0644')} {len(data)} {path}\n" for path, data in files.items()]
    whole = hashlib.sha256("".join(lines).encode())
    for data in files.values():
        whole.update(data)
    return f"{kind}-{whole.hexdigest()[:16]}\n{''.join(lines)}"


def _sources(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        name = path.relative_to(ROOT)
        is_made = any(part in _NOT_CARRIED or part.startswith(".venv") for part in name.parts)
        if path.is_file() and path.name.endswith(suffixes) and not is_made:
            yield name.as_posix(), path.read_bytes()


def _packages(site_packages: Path) -> Iterator[Distribution]:
    wanted = set(_PINNED.findall((ROOT / "requirements/runtime.txt").read_text("utf-8")))
    for package in distributions(path=[str(site_packages)]):
        name = re.sub(r"[-_.]+", "-", package.name).lower()  # as in the lock file
        if name in wanted:
            wanted.remove(name)
            yield package
    if wanted:
        raise RuntimeError(f"{site_packages} lacks {', '.join(sorted(wanted))}")


def _modules(package: Distribution) -> Iterator[tuple[str, bytes]]:
    """A package's modules, and the licence that must be included."""
    for path in package.files or ():
        data = Path(str(package.locate_file(path)))
        if _is_licence(path):
            yield f"licenses/{package.name}/{path.name}", data.read_bytes()
        elif path.suffix in (".py", ".typed") and path.parts[0] not in ("..", "_yaml"):
            yield path.as_posix(), data.read_bytes()


def _is_licence(path: PurePosixPath) -> bool:
    is_of_package = path.parts[0].endswith(".dist-info")
    return is_of_package and path.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))
