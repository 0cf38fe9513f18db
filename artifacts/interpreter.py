"""Makes a relocatable Python: an executable, its libraries and the standard library.

    bin/python3.11                     finds the rest from its own place, see CPython's getpath.py
    lib/libpython3.11.so.1.0, lib*.so  what it and the modules in C load, but for the C library's
    lib/python3.11/**.py               beside their bytecode, which is not looked at against them
    lib/python3.11/lib-dynload/*.so

It is a copy of the Python that runs the build, without test suites, what needs a screen (tkinter,
idlelib, turtle), and what installs packages (ensurepip, lib2to3).
"""

import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

# Libraries that every glibc system has, and that must come from the system.
_OF_THE_SYSTEM = re.compile(
    r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|nsl|anl|nss_.*|thread_db))\.so(\.\d+)*"
)
_LEFT_OUT = {
    "__pycache__", "test", "tests", "idle_test", "site-packages", "dist-packages",
    "tkinter", "idlelib", "turtledemo", "turtle.py", "ensurepip", "lib2to3",
}  # fmt: skip
_LEFT_OUT_MODULES = re.compile(r"(_tkinter|_test\w+|_ctypes_test|xx\w+)\..*|config-.*")


def carry_off(target: Path, patchelf: str) -> Path:
    """Copy a Python into the folder `target`; returns its executable."""
    name = "python{}.{}".format(*sys.version_info)
    executable = target / "bin" / name
    executable.parent.mkdir(parents=True)
    shutil.copy(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), executable)
    library = target / "lib" / name
    modules = Path(sysconfig.get_config_var("DESTSHARED"))
    _copy(Path(sysconfig.get_path("stdlib")), library)
    _copy(modules, library / "lib-dynload")
    binaries = [executable, *(library / "lib-dynload").glob("*.so")]
    carried = [shutil.copy(path, target / "lib") for path in _libraries(binaries)]
    for path in (*binaries, *map(Path, carried)):
        _make_movable(path, target / "lib", patchelf)
    _compile(library, target)
    return executable


def _copy(source: Path, target: Path) -> None:
    def left_out(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name in _LEFT_OUT or _LEFT_OUT_MODULES.fullmatch(name)}

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


def _libraries(binaries: list[Path]) -> Iterator[Path]:
    """The shared libraries that `binaries` load, directly or not, without the system's own."""
    found = set()
    for binary in binaries:
        done = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True)
        if "not found" in done.stdout:
            raise RuntimeError(f"{binary} needs a library that is not there:\n{done.stdout}")
        found.update(re.findall(r"=> (/\S+)", done.stdout))
    return (Path(path) for path in sorted(found) if not _OF_THE_SYSTEM.fullmatch(Path(path).name))


def _make_movable(binary: Path, libraries: Path, patchelf: str) -> None:
    """Make it find its libraries relative to itself, whatever LD_LIBRARY_PATH says."""
    os.chmod(binary, 0o755)
    subprocess.run(["strip", "--strip-unneeded", str(binary)], check=True)
    path = os.path.relpath(libraries, binary.parent)
    origin = "$ORIGIN" if path == "." else f"$ORIGIN/{path}"
    command = [patchelf, "--force-rpath", "--set-rpath", origin, str(binary)]
    subprocess.run(command, check=True)


def _compile(library: Path, target: Path) -> None:
    """Add bytecode that is valid whatever the source's time; it is the same at each build."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH

    def compile_one(path: Path) -> None:
        name = str(path.relative_to(target))
        py_compile.compile(str(path), dfile=name, doraise=True, invalidation_mode=mode)

    for path in sorted(library.rglob("*.py")):
        compile_one(path)
