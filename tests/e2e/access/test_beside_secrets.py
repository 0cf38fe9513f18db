"""Who signs in without a key, beside an app that has secrets, if the runtime is not root.

Such a runtime cannot look into workers with secrets: any of them may have the other end of a
connection over the loopback. Of a browser of its own user it can see that the browser has it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import expect

from tests.support.chromium import CHROMIUM, driver, needs_chromium
from tests.support.client import fetch
from tests.support.harness import Runtime, command, running, write_app
from tests.support.operators import ADMIN, address_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

NOBODY = 65534
IS_ROOT = os.geteuid() == 0
# Starts the runtime and its user's processes as that user, if root runs the tests.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
AS_USER = AS_NOBODY if IS_ROOT else []
# Asks as a browser on the runtime's own page does, in the way that the argument names.
ASK = """
import ctypes, http.client, sys
if sys.argv[2] == "hidden":
    assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
connection.request("GET", "/api/session", headers={"Sec-Fetch-Site": "same-origin"})
answer = connection.getresponse()
print(answer.status, bool(answer.headers.get("set-cookie")))
"""
# An app with a secret; its worker asks so itself, or has a process do it.
APP = f"""
import subprocess, sys
from buntime import Response, secret

ASK = {ASK!r}
KEY = secret("STRIPE_KEY")

def fetch(request):
    argv = ["-c", ASK, request.query["port"], "plain"]
    if request.query["by"] == "child":
        return Response(subprocess.run([sys.executable, *argv], stdout=-1, check=True).stdout)
    told = []
    sys.argv = argv[1:]
    exec(ASK, {{"print": lambda *words: told.append(" ".join(map(str, words)))}})
    return Response(told[0])
"""


class Scene(NamedTuple):
    """The runtime, and a folder that its user may write."""

    runtime: Runtime
    folder: Path

    def asked(self, url: str, how: str) -> str:
        """What a process of the runtime's user gets: `"200 True"` if it gets a cookie."""
        argv = [*AS_USER, python(), "-c", ASK, url.rpartition(":")[2], how]
        return subprocess.check_output(argv, text=True, timeout=60).strip()


def python() -> str:
    """A Python that other users can start."""
    found = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    return found if IS_ROOT and found else sys.executable


def start() -> list[str]:
    """The command that starts the runtime as its user; skips if that user cannot start it."""
    if IS_ROOT and not shutil.which("setpriv"):
        pytest.skip("there is no setpriv; apt-get install util-linux")
    whole = [*AS_USER, *command()]
    if subprocess.run(
        [*whole, "--version"], capture_output=True, timeout=60, check=False
    ).returncode:
        pytest.skip("the runtime or its Python is closed to other users")
    return whole


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    whole = start()
    with tempfile.TemporaryDirectory(prefix="beside-") as name:
        folder = Path(name)
        write_app(folder / "apps/shop", {"app.py": APP}, ttl=600, secrets=["STRIPE_KEY"])
        if IS_ROOT:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        env = {"RUNTIME_ENV": "development", "HOME": name, "RUNTIME_STATE_DIR": f"{name}/state"}
        env |= {**ADMIN, "RUNTIME_PYTHON": python()}
        with running(folder / "apps", env=env, start=whole) as runtime:
            body = json.dumps({"value": "sk-1"}).encode()
            path = "/api/apps/shop/secrets/STRIPE_KEY"
            assert fetch(runtime, path, method="PUT", body=body).status < 300
            yield Scene(runtime, folder)


@pytest.mark.parametrize("by", ["worker", "child"])
def test_the_app_itself(scene: Scene, by: str) -> None:
    """Neither its worker, which cannot be looked into, nor what it starts gets a session."""
    for url in (scene.runtime.url, address_of(scene.runtime)):
        answer = fetch(scene.runtime, f"/shop/?by={by}&port={url.rpartition(':')[2]}")
        assert answer.body.split() == [b"401", b"False"]


def test_who_can_be_seen(scene: Scene) -> None:
    """A process of the runtime's user that no app started gets a session, but not if it hides."""
    for url in (scene.runtime.url, address_of(scene.runtime)):
        assert fetch(scene.runtime, f"/shop/?by=child&port={scene.runtime.port}").status == 200
        assert scene.asked(url, "plain") == "200 True"
        assert scene.asked(url, "hidden") == "401 False"
    why = "an app may have started it: some processes of apps cannot be seen"
    scene.runtime.wait_for_record("session.refused", reason=why)


@needs_chromium
def test_chromium(scene: Scene) -> None:
    """The panel opens at `/` without a key, in a browser of the runtime's user, and can act."""
    assert fetch(scene.runtime, f"/shop/?by=child&port={scene.runtime.port}").status == 200
    profile, browser = scene.folder / "profile", scene.folder / "browser"
    profile.mkdir()
    if IS_ROOT:
        os.chown(profile, NOBODY, NOBODY)
    line = shlex.join([*AS_USER, str(CHROMIUM)])
    browser.write_text(f'#!/bin/sh\nHOME={shlex.quote(str(profile))} exec {line} "$@"\n')
    browser.chmod(0o755)
    with driver() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=browser, args=["--no-sandbox"], locale="en-GB"
        )
        try:
            page = context.new_page()
            page.goto(f"{scene.runtime.url}/")
            expect(page.locator("tbody .name")).to_have_text(["shop"], timeout=20_000)
            page.get_by_role("link", name="shop").click()
            page.get_by_role("button", name="Stop", exact=True).click()
            page.get_by_role("dialog").get_by_role("button", name="Stop").click()
            expect(page.locator(".head .state")).to_have_text("Stopped", timeout=20_000)
        finally:
            context.close()
    opened = fetch(scene.runtime, "/api/apps/shop/maintenance", method="DELETE")
    assert opened.status == 200
