"""A bare Debian to try things in: made by mmdebstrap once a month, and unpacked for each use.

It is kept as an archive where build.py keeps its environments; making one takes half a minute to
two minutes, unpacking it two seconds. The container image is built on a bare one, see image.py;
those with more packages are made from that one, because a bootstrap costs more than the packages.
Readers of the pages and the units share a Debian, because making each costs sixteen seconds of a
processor.
"""

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from artifacts.environments import ENVIRONMENTS, locked
from artifacts.image import Skipped, pip_settings

RELEASE = "bookworm"
# What readers of the pages need, see newcomer.py and tutorial.py; and what a machine needs to boot,
# see nspawn.py. Hosts of readers have both.
HOST = "git,python3,python3-venv,ca-certificates,curl,systemd,systemd-sysv,dbus,procps"
# Variables that name a folder for temporary files.
_FOLDERS = ("TMPDIR", "TEMP", "TMP")


def lacking() -> None:
    """Raises `Skipped` if no Debian can be made here."""
    if os.geteuid() != 0:
        raise Skipped("only root can make a chroot")
    if shutil.which("mmdebstrap") is None or shutil.which("unshare") is None:
        raise Skipped("there is no mmdebstrap or no unshare")


def make_debian(root: Path, packages: str, *, release: str = RELEASE) -> None:
    """A Debian with these packages ("curl,git") at `root`, a new folder.

    Raises Skipped if no archive of Debian can be reached.
    """
    kept = kept_debian(packages, release=release)
    _unpack(kept, root)
    for path, text in pip_settings().items():
        (root / path.lstrip("/")).write_text(text, "utf-8")
    # curl and Python use the same certificates as pip.
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")


def kept_debian(packages: str = "", *, release: str = RELEASE) -> Path:
    """The archive that such a Debian is unpacked from; made where there is none of this month.

    Raises Skipped where no archive of Debian can be reached.
    """
    name = f"debian-{release}-{packages.replace(',', '+') or 'bare'}"
    kept = ENVIRONMENTS / f"{name}-{time.strftime('%Y-%m')}.tar"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with locked(ENVIRONMENTS / f"{name}.lock"):
        if not kept.exists():
            for old in ENVIRONMENTS.glob(f"{name}-*.tar"):
                old.unlink()
            with tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as work:
                made = Path(work, "debian.tar")
                if packages and release == RELEASE:
                    _extend(kept_debian(), made, packages)
                else:
                    _bootstrap(made, packages, release)
                made.replace(kept)
    return kept


def _unpack(archive: Path, root: Path) -> None:
    root.mkdir()
    # The caller must supply device files: a container may not make them.
    unpack = ["tar", "--extract", "--numeric-owner", "--same-permissions", "--exclude=./dev/*"]
    subprocess.run([*unpack, f"--file={archive}", f"--directory={root}"], check=True)
    root.chmod(0o755)


def _bootstrap(made: Path, packages: str, release: str) -> None:
    # Nothing here has to outlive a crash: without syncing it takes half the time.
    options = ["--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"]
    options += [f"--include={packages}"] if packages else []
    if release != RELEASE:
        # Lists of an upcoming release expire after a week, which many mirrors miss; they are
        # signed nevertheless. No Debian made here is kept, or reachable from outside.
        options.append('--aptopt=Acquire::Check-Valid-Until "false"')
    _must(["mmdebstrap", *options, release, str(made)])


def _extend(bare: Path, made: Path, packages: str) -> None:
    """Install packages into what a bare one holds; what apt keeps for itself is left out."""
    root = made.with_name("root")
    _unpack(bare, root)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    mounts = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
    within = ["unshare", "--mount", "sh", "-c", mounts, str(root)]
    # Programs there would look for a folder that only this machine has.
    here = {name: value for name, value in os.environ.items() if name not in _FOLDERS}
    env = {**here, "DEBIAN_FRONTEND": "noninteractive", "LANG": "C.UTF-8"}
    options = ["-o", "Dpkg::Options::=--force-unsafe-io", "--yes", "--no-install-recommends"]
    _must([*within, "apt-get", "-qq", "update"], env)
    _must([*within, "apt-get", "-qq", *options, "install", *packages.split(",")], env)
    left_out = [f"--exclude=./{name}/*" for name in ("var/lib/apt/lists", "var/cache/apt")]
    _must(["tar", "--create", "--numeric-owner", *left_out, f"--directory={root}",
           f"--file={made}", "."])  # fmt: skip


def _must(command: list[str], env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"{shlex.join(command)} failed:\n{done.stderr[-1000:]}")
