"""Does the first half hour of docs/operating.md, word by word, in a bare Debian.

    page      blocks of the section in their order: files below a bold name, and console sessions
    chroot    a Debian by mmdebstrap with what a host has, see debian.py; and the binary
    systemctl a stand-in, since nothing of systemd runs in a chroot: it starts what the units say,
              as their user, with their environment, folders and sockets

A line after `$ ` is run by root's shell, the same one for all of them. The lines below it must
appear in its output in their order, where `…` matches any text. It must succeed, unless a line of
the page begins with `buntime: error:`.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import NamedTuple

from artifacts.debian import HOST, RELEASE, lacking, make_debian
from artifacts.image import Faulty

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/operating.md"
SECTION = "## The first half hour\n"
_ANY = "…"
_STEP_S = 300
_FAILS = "buntime: error:"
_BLOCK = re.compile(r"(?:^\*\*([\w./-]+)\*\*\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SYSTEMCTL = Path(__file__).with_name("systemctl.py")


class File(NamedTuple):
    """A file that the page tells the reader to write."""

    path: str
    text: str


class Order(NamedTuple):
    """A command, and lines that it prints."""

    line: str
    told: tuple[str, ...]

    @property
    def fails(self) -> bool:
        return any(line.startswith(_FAILS) for line in self.told)


Deed = File | Order


def read_page(text: str, title: str = SECTION) -> list[Deed]:
    """The steps of a section, or of the whole page if `title` is "", in their order.

    Raises ValueError if a block is neither.
    """
    section = text.partition(title)[2].partition("\n## ")[0] if title else text
    deeds: list[Deed] = []
    for path, language, body in _BLOCK.findall(section):
        if language == "console" and not path:
            deeds += _orders(body)
        elif path:
            deeds.append(File(path, body))
        else:
            raise ValueError(f"a block of {language} has no name of a file above it")
    return deeds


def _orders(body: str) -> Iterator[Order]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, *told = part.rstrip("\n").split("\n")
        yield Order(line, tuple(told))


def missing(told: Sequence[str], output: str) -> str:
    """The first line that does not appear where it should; "" if all do."""
    rest = output.splitlines()
    for line in told:
        if line == _ANY:
            continue
        pattern = ".*".join(map(re.escape, line.split(_ANY)))
        found = next((n for n, each in enumerate(rest) if re.fullmatch(pattern, each)), None)
        if found is None:
            return line
        rest = rest[found + 1 :]
    return ""


def walk(binary: Path) -> Iterator[str]:
    """Do all of it; yields the steps done, raises `Skipped` or `Faulty`."""
    deeds = read_page(PAGE.read_text("utf-8"))
    lacking()
    with tempfile.TemporaryDirectory(prefix="buntime-newcomer-") as work:
        root = Path(work, "debian")
        make_debian(root, HOST)
        yield f"a bare Debian {RELEASE}"
        home = root / "root"
        shutil.copy(binary, home / "buntime")
        shutil.copy(_SYSTEMCTL, root / "usr/local/sbin/systemctl")
        (root / "usr/local/sbin/systemctl").chmod(0o755)
        with shell(root) as run:
            yield from follow(deeds, run, home, log=root / "var/log/buntime.log")


def follow(
    deeds: Sequence[Deed], run: "Run", folder: Path, *, log: Path, owner: int = 0
) -> Iterator[str]:
    """Do each step; files are written below `folder`, and belong to `owner`. Raises `Faulty`."""
    for deed in deeds:
        if isinstance(deed, File):
            path = folder / deed.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(deed.text, "utf-8")
            os.chown(path, owner, owner)
            continue
        code, output = run(deed.line)
        line = missing(deed.told, output)
        if line or (code != 0) != deed.fails:
            end = log.read_text("utf-8", "replace")[-4000:] if log.exists() else ""
            why = f"does not print {line!r}" if line else f"ends with {code}"
            raise Faulty(f"`{deed.line}` {why}:\n{output}\nthe service's log:\n{end}")
        yield deed.line


@contextmanager
def shell(root: Path, *, user: int = 0, home: str = "/root") -> Iterator["Run"]:
    """A user's shell in the Debian, in its home; everything it has started ends with it."""
    script = (
        'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
        'mount --rbind /sys "$0/sys" && cd / && '
        'exec chroot --userspec="$1:$1" "$0" /bin/bash -c "cd && exec bash"'
    )
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    command = [*apart, "sh", "-c", script, str(root), str(user)]
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {"HOME": home, "LANG": "C.UTF-8", "PATH": path}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            yield Run(process)
        finally:
            process.kill()


class Run:
    """Runs a command in a shell: `code, output = run("ls")`. Raises Faulty if it hangs."""

    _MARK = "newcomer-command-has-ended"

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def __call__(self, line: str) -> tuple[int, str]:
        put, get = self._process.stdin, self._process.stdout
        if put is None or get is None:
            raise AssertionError("the shell has no pipes")
        put.write(
            f"{{ {line}\n}} </dev/null\n__code=$?; echo; echo {self._MARK} $__code\n".encode()
        )
        put.flush()
        watchdog = Timer(_STEP_S, self._process.kill)
        watchdog.start()
        lines: list[str] = []
        try:
            for raw in get:
                text = raw.decode("utf-8", "replace")
                if text.startswith(self._MARK):
                    return int(text.split()[1]), "".join(lines).removesuffix("\n")
                lines.append(text)
        finally:
            watchdog.cancel()
        raise Faulty(f"`{line}` did not end within {_STEP_S} s:\n{''.join(lines)}")
