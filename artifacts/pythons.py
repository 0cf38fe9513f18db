"""Tries the wheel with each Python that it supports: this machine's own, else one of a Debian.

3.11 … 3.14   python3.13 of the system or of pyenv: artifacts/installed.py, in this process
the others    a bare Debian whose release has it, made by mmdebstrap as root: the same module
              is copied there with the wheel, and run by that Python
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from artifacts import installed
from artifacts.debian import lacking, make_debian
from artifacts.image import Faulty, Skipped
from artifacts.installed import VERSIONS, find_python, install, told_version, walk

ROOT = Path(__file__).resolve().parents[1]
RELEASES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
_ALL_S = 600
_ENTER = (
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" '
    '&& exec chroot "$0" "$@"'
)


def examine(wheel: Path, sdist: Path) -> Iterator[str]:
    """Yields the steps done with each Python, or why it is not tried. Raises Faulty."""
    found = {version: find_python(version) for version in VERSIONS}
    here = [python for python in found.values() if python]
    for version, python in found.items():
        try:
            if python is None:
                steps = in_debian(version, wheel)
            else:
                steps = _on_this_machine(python, here, wheel, sdist)
            for line in steps:
                yield f"{version}: {line}"
        except installed.Faulty as fault:
            raise Faulty(f"{version}: {fault}") from fault
        except Skipped as reason:
            yield f"{version}: not tried: there is no such Python here, and {reason}"


def _on_this_machine(python: str, others: Sequence[str], wheel: Path, sdist: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="buntime-installed-") as folder:
        yield from walk(
            install(python, wheel, Path(folder) / "venv"), Path(folder) / "here", others
        )
        for name, source in (("the sdist", sdist), ("the checkout", ROOT)):
            yield f"of {name}, {told_version(install(python, source, Path(folder) / name))}"


def in_debian(version: str, wheel: Path) -> Iterator[str]:
    """The same in a bare Debian. Raises Skipped if there is none, Faulty."""
    release = RELEASES.get(version)
    if release is None:
        raise Skipped("no release of Debian has it")
    lacking()
    with tempfile.TemporaryDirectory(prefix="buntime-installed-") as work:
        root = Path(work, "debian")
        packages = f"python{version},python{version}-venv,ca-certificates"
        make_debian(root, packages, release=release)
        home = root / "root"
        for file in (wheel, Path(installed.__file__)):
            shutil.copy(file, home)
        script = f"/root/{Path(installed.__file__).name}"
        command = [f"python{version}", script, f"/root/{wheel.name}", "/root/tried"]
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ENTER]
        env = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        done = subprocess.run(
            [*apart, str(root), *command],
            env=env, capture_output=True, text=True, timeout=_ALL_S, check=False,
        )  # fmt: skip
    for line in done.stdout.splitlines():
        yield f"{line} (Debian {release})"
    if done.returncode:
        raise Faulty(f"in Debian {release}: {done.stderr.strip()[-2000:]}")
