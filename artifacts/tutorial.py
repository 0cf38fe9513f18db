"""Follows the README and docs/tutorial.md, with only their commands, in a bare Debian.

    README    the first block of "Start" and all of "A first app"; what serves there is left to
              run, until the next one takes its port
    tutorial  all of the page, as `build.py newcomer` reads docs/operating.md
    the end   the link of `buntime open` is followed, and the API behind the panel has the app

The reader is an ordinary user, in a Debian that has git, Python, curl and systemd, and nothing of
ours.
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from artifacts.debian import HOST, lacking, make_debian
from artifacts.image import Faulty
from artifacts.newcomer import (
    ROOT,
    Deed,
    File,
    Order,
    Run,
    follow,
    read_page,
    shell,
)

README = ROOT / "README.md"
PAGE = ROOT / "docs/tutorial.md"
MINUTES = 15
REPOSITORY = "<this repository>"  # what the README calls it
_USER = 1000
_HOME = "home/ada"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVES = re.compile(r"^python3 build\.py run(?: \S+)?$", re.MULTILINE)
_PORT = "http://127.0.0.1:8000/api/health/ready"
# The first start installs packages.
_AWAIT = f"curl -sf -o /dev/null --retry 120 --retry-connrefused --retry-delay 1 {_PORT}"


def readme_deeds(text: str) -> list[Deed]:
    """The steps of the README: whole blocks of sh, servers separately, then what `curl` prints.

    `"cd x\\npython3 build.py run my-apps\\n"` -> `cd x`, then the server in the background.
    """
    start = _FENCE.findall(text.partition("\n## Start\n")[2])[0]
    first = _FENCE.findall(text.partition("\n## A first app\n")[2].partition("\n## ")[0])
    deeds: list[Deed] = []
    for language, body in [start, *first[:2]]:
        if language == "console":
            deeds += read_page(f"## x\n\n```console\n{body}```\n", "## x\n")
            continue
        server = _SERVES.search(body)
        if server is None:
            raise ValueError(f"nothing serves at the end of {body!r}")
        deeds.append(Order(body[: server.start()].rstrip("\n"), ()))
        ended = "test -z $! || { kill $!; wait $!; }"
        deeds.append(Order(f"{ended}; {server[0]} > ~/first.log 2>&1 &", ()))
        deeds.append(Order(_AWAIT, ()))
    return deeds


def walk() -> Iterator[str]:
    """Do all of it; yields the steps done, raises `Skipped` or `Faulty`."""
    deeds = readme_deeds(README.read_text("utf-8")) + read_page(PAGE.read_text("utf-8"), "")
    lacking()
    with tempfile.TemporaryDirectory(prefix="buntime-tutorial-") as work:
        root = Path(work, "debian")
        make_debian(root, HOST)
        home = root / _HOME
        subprocess.run(["chroot", str(root), "useradd", "-m", "-u", str(_USER), "ada"], check=True)
        origin = root / "srv/buntime.git"
        clone = ["git", "clone", "--quiet", "--bare", "--no-hardlinks", str(ROOT), str(origin)]
        subprocess.run(clone, check=True)
        subprocess.run(["chown", "-R", f"{_USER}:{_USER}", str(origin)], check=True)
        yield "a bare Debian, and a user in it"
        begun = time.monotonic()
        with shell(root, user=_USER, home=f"/{_HOME}") as run:
            told = [_named(deed) for deed in deeds]
            yield from follow(told, run, home, log=home / "first.log", owner=_USER)
            see_panel(run)
        taken_s = time.monotonic() - begun
        yield f"shelf is in the panel of the second runtime, after {taken_s:.0f} s"
        if taken_s > MINUTES * 60:
            raise Faulty(f"it took {taken_s / 60:.1f} minutes, more than {MINUTES}")


def _named(deed: Deed) -> Deed:
    if isinstance(deed, File):
        return deed
    return Order(deed.line.replace(REPOSITORY, "/srv/buntime.git"), deed.told)


def see_panel(run: Run) -> None:
    """Follow a link of `buntime open` as a browser does, and send the requests of the panel's
    pages."""
    _, output = run("buntime open --state-dir host/state")
    link = re.search(r"http://\S+", output)
    if link is None:
        raise Faulty(f"`buntime open` prints no link:\n{output}")
    browser = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))
    origin = "/".join(link[0].split("/")[:3])
    browser.open(link[0], timeout=20).close()
    page = browser.open(f"{origin}/cpanel/", timeout=20).read().decode()
    asked = Request(f"{origin}/api/apps", headers={"Sec-Fetch-Site": "same-origin"})
    apps = json.load(browser.open(asked, timeout=20))["apps"]
    if "<title" not in page or "shelf" not in [app["app"] for app in apps]:
        raise Faulty(f"the panel does not have shelf: {apps}")
