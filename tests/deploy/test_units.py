"""The systemd units: written for what they start, hardened, and as in deploy/."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from buntime.commands.systemd import Service, quote
from tests.support.harness import ROOT, command
from tests.support.runs import run

UNITS = ROOT / "deploy/systemd"
EXPOSURE_MAX = 3.0


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze here")
    line = [program, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)


def install(tmp_path: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    units, settings = tmp_path / "units", tmp_path / "settings.env"
    return run("install-service", "--units", units, "--settings", settings, *words, cwd=tmp_path)


def test_as_deployed() -> None:
    """deploy/systemd/ has what install-service writes, with the usual paths."""
    service = Service()
    assert (UNITS / "buntime.service").read_text() == service.service_unit()
    assert (UNITS / "buntime.socket").read_text() == service.socket_unit()
    assert (UNITS / "buntime.env").read_text() == service.settings_file()


def test_exposure() -> None:
    """systemd rates the unit's exposure below 3.0, which it calls OK."""
    done = analyze("security", "--offline=true", UNITS / "buntime.service")
    match = re.search(r"Overall exposure level for buntime\.service: ([0-9.]+)", done.stdout)
    assert match is not None, done.stdout + done.stderr
    assert float(match[1]) < EXPOSURE_MAX


def test_syntax(tmp_path: Path) -> None:
    """systemd finds no fault in the units, whatever characters the paths have."""
    apps = tmp_path / "apps of $HOME 100%"
    apps.mkdir()
    assert install(tmp_path, apps, "--listen", "127.0.0.1:80,[::1]:80,/run/b.sock").returncode == 0
    units = tmp_path / "units"
    done = analyze("verify", "--man=no", units / "buntime.service", units / "buntime.socket")
    ours = [line for line in done.stderr.splitlines() if "buntime" in line]
    assert (done.returncode, ours) == (0, [])


def test_what_is_written(tmp_path: Path) -> None:
    """The unit starts the file that wrote it; the settings name the apps and are closed to others;
    the commands to run are printed."""
    done = install(tmp_path, "apps", "--user", "web", "--listen", "8080, /run/b.sock")
    assert (done.returncode, done.stderr) == (0, "")
    unit = (tmp_path / "units/buntime.service").read_text()
    program = " ".join(map(quote, command()))
    assert f"ExecStart={program} --env-file {tmp_path}/settings.env\n" in unit
    assert "User=web\nGroup=web\n" in unit
    socket = (tmp_path / "units/buntime.socket").read_text()
    assert "ListenStream=8080\nListenStream=/run/b.sock\n" in socket
    settings = tmp_path / "settings.env"
    deploys = "/var/lib/buntime-apps"  # the unit has systemd make it for the service's user
    assert f"RUNTIME_WORKER_DIRS={tmp_path}/apps:{deploys}\n" in settings.read_text()
    assert f"\nRUNTIME_DEPLOY_DIR={deploys}\n" in settings.read_text()
    assert "\nRUNTIME_PLUGIN_DIRS=/var/lib/buntime-plugins\n" in settings.read_text()
    assert "\nStateDirectory=buntime buntime-apps buntime-plugins\n" in unit
    assert settings.stat().st_mode & 0o777 == 0o640
    assert f"warning: {tmp_path}/apps is not there; the service does not start" in done.stdout
    assert f"\n  mkdir -p {tmp_path}/apps\n" in done.stdout
    assert "systemctl enable --now buntime.socket buntime.service\n" in done.stdout
    assert f"cp {tmp_path}/units/buntime.* /etc/systemd/system/\n" in done.stdout


def test_commands_to_run_are_quoted(tmp_path: Path) -> None:
    """Paths with blanks are words of a shell; a folder that is there need not be made."""
    (tmp_path / "my apps").mkdir()
    (tmp_path / "at home").mkdir()
    done = install(tmp_path / "at home", "../my apps", "new ones", "--listen", "[::1]:80,@b")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"  chgrp buntime '{tmp_path}/at home/settings.env' && " in done.stdout
    assert f"  cp '{tmp_path}/at home/units'/buntime.* /etc/systemd/system/\n" in done.stdout
    assert done.stdout.count("mkdir -p") == 1
    assert f"  mkdir -p '{tmp_path}/at home/new ones'\n" in done.stdout


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    """A changed unit is kept and shown as a difference; --force overwrites it; an equal one is no
    difference. Settings always stay."""
    assert install(tmp_path).returncode == 0
    assert install(tmp_path).returncode == 0
    unit, settings = tmp_path / "units/buntime.service", tmp_path / "settings.env"
    written = unit.read_text()
    unit.write_text(written.replace("RestartSec=1\n", "RestartSec=9\n"))
    settings.write_text("PORT=1\n")
    done = install(tmp_path)
    assert done.returncode == 1
    assert "\n-RestartSec=9\n+RestartSec=1\n" in done.stdout
    assert "nothing was written" in done.stdout
    assert "RestartSec=9" in unit.read_text()
    done = install(tmp_path, "--force")
    assert (done.returncode, unit.read_text()) == (0, written)
    assert "+RestartSec=1" in done.stdout
    assert settings.read_text() == "PORT=1\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--user", "a b"], "--user: 'a b' is not a user name"),
        *(
            (["--listen", place], f"--listen: '{place}' is not an address to listen on")
            for place in ("web:80", "0", "65536", "127.0.0.1:99999", "300.1.1.1:80", "[1:2]:80")
        ),
        (["a\nb"], "has characters that a unit file cannot hold"),
    ],
)
def test_what_no_unit_can_have(tmp_path: Path, words: list[str], told: str) -> None:
    """A word that would break out of its line is refused, and nothing is written."""
    done = install(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert not (tmp_path / "units").exists()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("/usr/bin/buntime", "/usr/bin/buntime"),
        ("/opt/my apps/b", '"/opt/my apps/b"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\', '"a\\"b\\\\"'),
        ("", '""'),
    ],
)
def test_quoting(word: str, expected: str) -> None:
    """A word of a command means itself, whatever its characters mean to systemd."""
    assert quote(word) == expected
