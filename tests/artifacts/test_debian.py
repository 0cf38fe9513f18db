"""Archives of Debian are made once, and kept for a month."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifacts import debian
from artifacts.image import Skipped

# Notes that it ran, and makes the archive that its last argument or --file names, or what is
# unpacked.
STAND_IN = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "{log}"
for target; do
  case $target in --file=*) file=${{target#*=}} ;; --directory=*) folder=${{target#*=}} ;; esac
done
case "$name $1" in
  mmdebstrap*) echo "made of nothing" > "$target" ;;
  "tar --extract") grep -q "made of nothing" "$file" && mkdir "$folder/etc" ;;
  "tar --create") echo "made of another" > "$file" ;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lines of the programs that make archives, which are stand-ins."""
    log, programs = tmp_path / "log", tmp_path / "bin"
    programs.mkdir()
    for name in ("mmdebstrap", "tar", "unshare"):
        (programs / name).write_text(STAND_IN.format(log=log), "utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(debian, "ENVIRONMENTS", tmp_path / "environments")
    return log


def test_an_archive_is_made_once(log: Path, tmp_path: Path) -> None:
    """A bare Debian is made without packages and only once; last month's archive is removed."""
    kept = tmp_path / "environments"
    kept.mkdir()
    old = kept / "debian-bookworm-bare-2001-01.tar"
    old.write_text("old", "utf-8")
    made = debian.kept_debian()
    assert debian.kept_debian() == made
    assert made.read_text("utf-8") == "made of nothing\n"
    assert not old.exists()
    [line] = log.read_text("utf-8").splitlines()
    assert "--include" not in line


def test_packages_are_added_to_a_bare_one(log: Path) -> None:
    """However many sets of packages are wanted, only one Debian is bootstrapped."""
    for packages in ("curl,git", "systemd"):
        made = debian.kept_debian(packages)
        assert made.name.startswith(f"debian-bookworm-{packages.replace(',', '+')}-")
        assert made.read_text("utf-8") == "made of another\n"
    lines = log.read_text("utf-8").splitlines()
    assert len([line for line in lines if line.startswith("mmdebstrap")]) == 1
    [line, _] = [line for line in lines if line.startswith("unshare") and " install " in line]
    assert line.endswith("install curl git")


def test_its_programs_use_its_own_folders(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs that install packages are not told where this machine's temporary files are."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    program = tmp_path / "bin/unshare"
    program.write_text(f"#!/bin/sh\nenv >> '{log}'\n", "utf-8")
    debian.kept_debian("git")
    told = log.read_text("utf-8").splitlines()
    assert "DEBIAN_FRONTEND=noninteractive" in told
    assert not [line for line in told if line.startswith(("TMPDIR=", "TEMP=", "TMP="))]


def test_another_release_is_bootstrapped(log: Path) -> None:
    """The packages of another release are included when it is made."""
    debian.kept_debian("python3.14", release="forky")
    [line] = log.read_text("utf-8").splitlines()
    assert "--include=python3.14" in line


def test_no_archive_can_be_reached(log: Path, tmp_path: Path) -> None:
    """If packages cannot be had, nothing is kept, and the reason is told."""
    debian.kept_debian()
    program = tmp_path / "bin/unshare"
    program.write_text("#!/bin/sh\necho no network >&2; exit 1\n", "utf-8")
    with pytest.raises(Skipped, match="no network"):
        debian.kept_debian("git")
    assert [path.name for path in (tmp_path / "environments").glob("*git*.tar")] == []
