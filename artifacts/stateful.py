"""The image as the chart's StatefulSet runs it, under the pod security standard `restricted`.

    folders   the chart's init container, its command read from the template, makes what state wants
              in a volume that is open to its group, as kubelet makes one
    state     the runtime keeps its state there; a key is made by `kubectl exec`, as docs tell

runc runs it, see restricted.py.
"""

import json
import re
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from artifacts.image import ROOT, START_S, STOP_S, Faulty, await_that, expect, said_at
from artifacts.restricted import UID, config_of

_VOLUMES = ROOT / "deploy/helm/buntime/templates/_volumes.tpl"
_COMMAND = re.compile(r'command: \[sh, -euc, "(cd /data;[^"]+)"\]')
_PATH = "/usr/local/bin:/usr/bin:/bin"
_WRITABLE = ("/tmp", "/data", "/var/lib/buntime", "/srv/plugins", "/srv/apps")


def folders_command(template: str) -> list[str]:
    """The command of the init container `folders`, if apps are on the volume of the state."""
    [script] = _COMMAND.findall(template)
    return ["sh", "-euc", script.replace("{{ $folders }}", "state plugins apps")]


def examine_stateful(root: Path, work: Path) -> Iterator[str]:
    """Run both containers on one volume; yields the steps done, raises `Faulty`."""
    volume, tmp = work / "data", work / "pod-tmp"
    for folder in (volume, tmp):
        folder.mkdir()
        folder.chmod(0o2777)  # as kubelet prepares a volume for a group
    pod = Pod(root, work / "stateful")
    command = folders_command(_VOLUMES.read_text("utf-8"))
    for _ in range(2):  # a restarted pod finds them
        done = pod.run("folders", command, {"PATH": _PATH}, {"/data": volume})
        expect(done.returncode == 0, f"the init container `folders` says {done.stderr!r}")
    for name in ("state", "plugins", "apps"):
        told = (volume / name).stat()
        expect(told.st_uid == UID, f"{name} belongs to {told.st_uid}")
        expect(not told.st_mode & stat.S_IWOTH, f"{name} has the mode {told.st_mode:o}")
    yield "stateful: the init container makes its folders, and finds them again"
    (volume / "apps/leaves").mkdir()
    app = 'from buntime import Response\ndef fetch(request): return Response("left")\n'
    (volume / "apps/leaves/app.py").write_text(app, "utf-8")
    yield from _examine_runtime(pod, volume, tmp)


def _examine_runtime(pod: "Pod", volume: Path, tmp: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    env = {
        "PATH": _PATH,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "RUNTIME_ADMIN_LISTEN": "none",  # the network is the host's, where the port may be in use
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": "/var/lib/buntime",
        "RUNTIME_PLUGIN_DIRS": "/srv/plugins",
        "XDG_CACHE_HOME": "/var/cache",
    }
    places = {
        "/tmp": tmp,
        "/var/lib/buntime": volume / "state",
        "/srv/plugins": volume / "plugins",
        "/srv/apps": volume / "apps",
    }
    with tempfile.TemporaryFile("w+") as log:
        process = pod.start("pod", ["buntime", "/srv/apps"], env, places, log.fileno())
        try:
            await_that(lambda: said_at(port) == "left", START_S, "no answer")
            made = pod.exec("pod", "buntime", "keys", "add", "ci", "--role", "deployer")
            expect(made.returncode == 0, f"keys add says {made.stderr!r}")
            expect(made.stdout.startswith("bt_"), f"keys add says {made.stdout!r}")
            pod.kill("pod", "TERM")
            await_that(lambda: process.poll() is not None, STOP_S, "SIGTERM does not end it")
            expect(process.returncode == 0, f"SIGTERM ends it with {process.returncode}")
            log.seek(0)
            text = log.read()
            expect("cache.unusable" not in text, "a read-only root is told of as a fault")
        except Faulty as exc:
            log.seek(0)
            raise Faulty(f"{exc}\n{log.read()[-4000:]}") from exc
        finally:
            if process.poll() is None:
                pod.kill("pod", "KILL")
                process.wait()
    expect((volume / "state/state.db").exists(), "there is no state.db on the volume")
    yield "stateful: an app answers from the volume, a key is made by exec, state lies there"


class Pod:
    """runc, with a separate bundle for each container."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        work.mkdir()
        self.runc = ["runc", "--root", str(work / "runc")]

    def command(
        self, name: str, words: list[str], env: dict[str, str], volumes: dict[str, Path]
    ) -> list[str]:
        """How a container is run; its volumes are writable."""
        config = config_of(self.root, words, env, volumes)
        for mount in config["mounts"]:
            if mount["destination"] in _WRITABLE:
                mount["options"] = ["rbind", "rw"]
        bundle = self.work / name
        bundle.mkdir(exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(config), "utf-8")
        return [*self.runc, "run", "--bundle", str(bundle), name]

    def run(
        self, name: str, words: list[str], env: dict[str, str], volumes: dict[str, Path]
    ) -> subprocess.CompletedProcess[str]:
        command = self.command(name, words, env, volumes)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def start(
        self, name: str, words: list[str], env: dict[str, str], volumes: dict[str, Path], log: int
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(name, words, env, volumes), stdout=log, stderr=log)

    def exec(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`kubectl exec`: the variables are the container's, which runc leaves to the caller."""
        env = json.loads((self.work / name / "config.json").read_text("utf-8"))["process"]["env"]
        told = [word for each in env for word in ("--env", each)]
        command = [*self.runc, "exec", *told, name, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def kill(self, name: str, number: str) -> None:
        subprocess.run([*self.runc, "kill", name, number], check=False)
