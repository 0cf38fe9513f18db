"""Pages in the shell's frames, in Firefox: a smoke test of what differs between browsers."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.framing import TALK, with_desk
from tests.support.harness import wait_until

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
# No process in reserve, for graphics or for the network, and no page but ours.
PREFS = {
    "dom.ipc.processPrelaunch.enabled": False,
    "layers.gpu-process.enabled": False,
    "media.rdd-process.enabled": False,
    "network.process.enabled": False,
    "browser.startup.page": 0,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.newtabpage.enabled": False,
    "browser.newtab.preload": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "extensions.enabledScopes": 0,
    "toolkit.telemetry.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.normandy.enabled": False,
}
TIMEOUT_S = 60.0  # its start, on a shared machine


class Marionette:
    """Firefox's own protocol: `LENGTH:[0, number, command, params]`, and answers like it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._receive()  # its greeting
        self.ask("WebDriver:NewSession", capabilities={"alwaysMatch": {}})

    def ask(self, command: str, **params: Any) -> Any:
        self._number += 1
        text = json.dumps([0, self._number, command, params])
        self._socket.sendall(f"{len(text)}:{text}".encode())
        _, _, error, value = self._receive()
        assert error is None, error
        return value

    def run(self, script: str) -> Any:
        """What `return ...` returns; a promise is awaited."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=[])["value"]

    def wait_for(self, script: str) -> None:
        wait_until(lambda: bool(self.run(f"return {script}")), 20, script)

    def enter_frame(self) -> None:
        self.ask("WebDriver:SwitchToFrame", element=self._find("iframe"))

    def click(self, selector: str) -> None:
        self.ask("WebDriver:ElementClick", id=self._find(selector))

    def leave_frame(self) -> None:
        self.ask("WebDriver:SwitchToFrame", id=None)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def _find(self, selector: str) -> str:
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)
        return str(next(iter(found["value"].values())))

    def _receive(self) -> Any:
        digits = b""
        while (digit := self._file.read(1)) != b":":
            assert digit, "Firefox has gone"
            digits += digit
        return json.loads(self._file.read(int(digits)))


@contextlib.contextmanager
def firefox(folder: Path) -> Iterator[Marionette]:
    """A Firefox with a profile of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir()
    prefs = "".join(
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in {"marionette.port": port, **PREFS}.items()
    )
    (folder / "user.js").write_text(prefs)
    command = [str(FIREFOX), "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    env = {"HOME": str(folder), "MOZ_REMOTE_SETTINGS_DEVTOOLS": "1", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _listens(port), TIMEOUT_S, "Firefox listens")
        with contextlib.closing(Marionette(port)) as browser:
            yield browser
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.timeout(180)
@pytest.mark.skipif(FIREFOX is None, reason="there is no Firefox; apt-get install firefox-esr")
def test_frames_in_firefox(tmp_path: Path) -> None:
    """A page has no origin, is greeted, moves with the address bar, and is disposed of."""
    with (
        with_desk(tmp_path, {"talk": TALK}) as runtime,
        firefox(tmp_path / "profile") as browser,
    ):
        browser.ask("WebDriver:Navigate", url=f"{runtime.url}/desk/talk/queues")
        browser.wait_for("window.seen?.some(([name]) => name === 'ready')")
        browser.enter_frame()
        assert browser.run("return self.origin") == "null"
        assert browser.run("return document.getElementById('path').textContent") == "/queues"
        browser.click("#link")  # like a user: otherwise it would be no step of the history
        browser.leave_frame()
        browser.wait_for("location.pathname === '/desk/talk/linked'")
        assert browser.run("return window.view.path") == "/linked?x=1#here"
        browser.ask("WebDriver:Back")
        browser.enter_frame()
        browser.wait_for("document.getElementById('path').textContent === '/queues'")
        browser.leave_frame()
        browser.run("window.view.dispose()")
        browser.wait_for("document.querySelector('iframe') === null")
