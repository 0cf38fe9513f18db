"""The instructions added to the binary's bootloader: it runs as before, and is closed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.closing import NoRoom, closing

IS_DUMPABLE = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
PROGRAM = Path(os.path.realpath(sys.executable))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has ELF files")


def run(program: Path, *words: str) -> str:
    environ = {**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}
    environ["LD_LIBRARY_PATH"] = f"{sys.base_prefix}/lib"  # it may look beside itself
    done = subprocess.run([program, *words], env=environ, capture_output=True, check=True)
    return done.stdout.decode()


def test_python(tmp_path: Path) -> None:
    """A Python changed in this way is closed from its first line on, and gets its arguments."""
    copy = tmp_path / "python"
    copy.write_bytes(PROGRAM.read_bytes())
    copy.chmod(0o755)
    assert run(copy, "-c", IS_DUMPABLE) == "1\n"
    copy.write_bytes(closing(PROGRAM.read_bytes()))
    assert run(copy, "-c", IS_DUMPABLE) == "0\n"
    assert run(copy, "-c", "import sys; print(sys.argv)", "a", "b") == "['-c', 'a', 'b']\n"


@pytest.mark.parametrize("words", [["true"], ["sh", "-c", "exit 0"], ["env", "true"]])
def test_programs_of_the_system(tmp_path: Path, words: list[str]) -> None:
    """Programs that were built in other ways run too."""
    found = shutil.which(words[0])
    assert found is not None
    copy = tmp_path / words[0]
    copy.write_bytes(closing(Path(found).read_bytes()))
    copy.chmod(0o755)
    assert run(copy, *words[1:]) == ""


def test_the_same_but_for_that() -> None:
    """Apart from zero bytes, only fields in the program's headers change; its length stays."""
    before = PROGRAM.read_bytes()
    after = closing(before)
    assert len(before) == len(after)
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert len([i for i in changed if before[i] != 0]) <= 8 * 3  # e_entry, p_filesz, p_memsz


def test_no_room() -> None:
    """A file that is not such a program is refused."""
    for program in (b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100)):
        with pytest.raises(NoRoom):
            closing(program)
