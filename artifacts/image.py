"""Builds the container image from its Dockerfile, and checks that it runs.

    base       the Debian that the Dockerfile names, with this machine's settings of pip
    image      buildah build; all that it stores lies in a temporary folder
    container  a user, a version, answers, health, orphans, SIGTERM
    restricted any user, a read-only root, no privileges, seccomp: as Kubernetes runs it, by runc

This is for machines without Docker, such as those of CI: buildah needs no service. If process
namespaces are available, the runtime is process 1, as in a container.
"""

import ast
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artifacts.restricted import UID, config_of

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = "deploy/docker/Dockerfile"
_BASE, _IMAGE = "localhost/buntime-base", "localhost/buntime"
_BUILD_S, START_S, STOP_S = 900, 30, 40
# Loads modules that need libraries which a slim Debian lacks, and leaves an orphan process behind
# that ends a moment later.
APP = """
import bz2, ctypes, curses, lzma, pyexpat, readline, sqlite3, ssl, subprocess, uuid
from buntime import Response

def fetch(request):
    script = "(exec setsid env -i sleep 0.3) & exit 0"
    subprocess.run(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, check=True)
    return Response("left")
"""


class Skipped(Exception):
    """Nothing can be built here, for a reason outside of the image."""


class Faulty(Exception):
    """The image cannot be built, or does not work as it should."""


def examine() -> Iterator[str]:
    """Build and run the image; yields what is done, raises `Skipped` or `Faulty`."""
    if shutil.which("buildah") is None:
        raise Skipped("there is no buildah")
    with tempfile.TemporaryDirectory(prefix="buntime-image-", ignore_cleanup_errors=True) as work:
        builder = Builder(Path(work))
        try:
            begun = time.monotonic()
            yield f"base: {make_base(builder)}, {time.monotonic() - begun:.0f} s"
            begun = time.monotonic()
            options = ["--network", "host", "--layers=false", "--format", "docker"]
            options += ["--build-arg", f"BASE={_BASE}", "--file", DOCKERFILE, "--tag", _IMAGE]
            builder.must("build", *options, ".", timeout_s=_BUILD_S)
            yield f"image: built, {time.monotonic() - begun:.0f} s"
            yield from examine_container(builder, Path(work))
            yield from examine_restricted(builder, Path(work))
        finally:
            # Files of a rootless builder belong to users that only it can act for.
            builder("rm", "--all")
            builder("rmi", "--all", "--force")


class Builder:
    """buildah with its own storage: `builder("pull", NAME)`."""

    def __init__(self, work: Path) -> None:
        store = ["--root", str(work / "root"), "--runroot", str(work / "run")]
        for driver in ("overlay", "vfs"):  # the second one copies all files for each layer
            self.command = ["buildah", *store, "--storage-driver", driver]
            done = self("from", "--name", "probe", "scratch")
            if done.returncode == 0:
                return
        raise Skipped(f"buildah cannot work here: {_end(done)}")

    def __call__(self, *args: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        try:
            return subprocess.run(
                [*self.command, *args],
                cwd=ROOT, env=env, timeout=timeout_s, capture_output=True, text=True, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            raise Faulty(f"buildah {args[0]} did not end within {timeout_s:.0f} s") from exc

    def must(self, *args: str, timeout_s: float = 300) -> str:
        """Its output; raises `Faulty` if it fails."""
        done = self(*args, timeout_s=timeout_s)
        if done.returncode:
            raise Faulty(f"buildah {args[0]} failed:\n{_end(done, 40)}")
        return done.stdout.strip()


def make_base(builder: Builder) -> str:
    """Provide a Debian under the name `_BASE`; returns where it came from."""
    [name, release] = re.findall(
        r"^ARG BASE=(\w+:(\w+)\S*)$", (ROOT / DOCKERFILE).read_text("utf-8"), re.MULTILINE
    )[0]
    with tempfile.TemporaryDirectory(prefix="buntime-base-") as folder:
        if shutil.which("mmdebstrap"):
            from artifacts.debian import kept_debian  # which uses what is here

            source = f"{release} by mmdebstrap"
            archive = kept_debian(release=release)
            container = builder.must("from", "scratch")
            builder.must("add", "--quiet", container, str(archive), "/")
        else:
            source = f"{name} from its registry"
            pulled = builder("from", f"docker.io/library/{name}")
            if pulled.returncode:
                raise Skipped(f"no base: no mmdebstrap, and {name} not to be had: {_end(pulled)}")
            container = pulled.stdout.strip()
        if builder("run", container, "--", "true").returncode:
            raise Skipped("buildah cannot run anything here, not even `true` in a chroot")
        for path, text in pip_settings().items():
            file = Path(folder) / "file"
            file.write_text(text, "utf-8")
            builder.must("add", "--quiet", "--chmod", "644", container, str(file), path)
    builder.must("commit", "--quiet", "--rm", "--disable-compression", container, _BASE)
    return source


def pip_settings() -> dict[str, str]:
    """Files that let pip in a container reach the same index as pip here: contents by path.

    Settings that refer to folders of this machine are left out. buildah handles proxies.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = {}
    for name, value in re.findall(r"^\S+\.([\w-]+)=('.*'|\".*\")$", done.stdout, re.MULTILINE):
        found[name] = str(ast.literal_eval(value))  # the environment's stand first, and win below
    wanted = ("index-url", "extra-index-url", "trusted-host", "proxy")
    for name in wanted:
        found[name] = os.environ.get("PIP_" + name.upper().replace("-", "_"), found.get(name, ""))
    lines = ["[global]"]
    for name in wanted:
        words = [word for word in found[name].split() if not word.startswith(("/", "file:"))]
        lines += [f"{name} = {' '.join(words)}"] if words else []
    places = [os.environ.get("PIP_CERT", ""), found.get("cert", "")]
    places += [os.environ.get(each, "") for each in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    certificates = next((place for place in places if os.path.isfile(place)), None)
    if certificates is None:
        return {"/etc/pip.conf": "\n".join([*lines, ""])}
    lines += ["cert = /etc/pip.pem", ""]
    return {
        "/etc/pip.conf": "\n".join(lines),
        "/etc/pip.pem": Path(certificates).read_text("utf-8"),
    }


def examine_container(builder: Builder, work: Path) -> Iterator[str]:
    """Start a container of the image as an engine does, and check everything it promises."""
    described: dict[str, Any] = json.loads(builder.must("inspect", "--type", "image", _IMAGE))
    config = described["Docker"]["config"]
    container = builder.must("from", _IMAGE)
    user = builder.must("run", container, "--", "id", "-u")
    expect(user not in ("", "0"), f"the container is run by user {user}")
    version = builder.must("run", container, "--", *config["Entrypoint"], "--version")
    expect("(binary," in version, f"--version says {version!r}")
    yield f"container: user {user}, {version}"
    (work / "apps/leaves").mkdir(parents=True)
    (work / "apps/leaves/app.py").write_text(APP, "utf-8")
    # The container's user is not this one.
    work.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    env = ["--network", "host", "--env", f"PORT={port}", "--env", "HOST=127.0.0.1"]
    check = [container, "--", *config["Healthcheck"]["Test"][1:]]
    expect(builder("run", *env, *check).returncode == 1, "health succeeds while nothing serves")
    first = as_first(builder, container, config["User"])
    volume = ["--volume", f"{work}/apps:/srv/apps:ro"]
    start = [*first[0], container, "--", *first[1], *config["Entrypoint"], *config["Cmd"]]
    with started([*builder.command, "run", *env, *volume, *start], port) as (process, runtime):
        builder.must("run", *env, *check)
        yield "container: an app is served, and health says so"
        if first[1]:
            await_that(lambda: not is_left(runtime), 10, "an orphan is not reaped by process 1")
            yield "container: process 1 reaps orphans"
        else:
            yield "container: reaping of orphans is skipped: no namespace of processes here"
        os.kill(runtime, signal.SIGTERM)
        await_that(lambda: process.poll() is not None, STOP_S, "SIGTERM does not end it")
        expect(process.returncode == 0, f"SIGTERM ends it with {process.returncode}, not with 0")
    yield "container: SIGTERM ends it with exit code 0"


CONFINED = """
import os
from buntime import Response

def fetch(request):
    return Response("left" if not can_write(os.environ["TMPDIR"]) else told())

def can_write(folder):
    try:
        open(f"{folder}/x", "w").close()
        return True
    except OSError:
        return False

def told():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    facts = {name: status[name].split()[0] for name in ("Uid", "CapEff", "NoNewPrivs", "Seccomp")}
    places = [place for place in ("/", "/srv/apps", "/tmp", "/var/lib/buntime") if can_write(place)]
    return repr((facts, places))
"""


def examine_restricted(builder: Builder, work: Path) -> Iterator[str]:
    """As a pod under `restricted`, with nothing that can be written but an emptyDir at /tmp."""
    if shutil.which("runc") is None:
        yield "restricted: skipped, there is no runc"
        return
    (work / "apps/leaves/app.py").write_text(CONFINED, "utf-8")
    (work / "tmp").mkdir()
    (work / "tmp").chmod(0o2777)  # as kubelet makes an emptyDir for a group
    root = Path(builder.must("mount", builder.must("from", _IMAGE)))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    env = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE": "none",
        "XDG_CACHE_HOME": "/var/cache",
    }
    volumes = {"/tmp": work / "tmp", "/srv/apps": work / "apps"}
    config = config_of(root, ["buntime", "/srv/apps"], env, volumes)
    (work / "config.json").write_text(json.dumps(config), "utf-8")
    runc = ["runc", "--root", str(work / "runc")]
    with tempfile.TemporaryFile("w+") as log:
        begun = time.monotonic()
        process = subprocess.Popen(
            [*runc, "run", "--bundle", str(work), "pod"], stdout=log, stderr=log
        )
        try:
            await_that(
                lambda: bool(said_at(port)) or process.poll() is not None, START_S, "no answer"
            )
            took = time.monotonic() - begun
            facts, places = ast.literal_eval(said_at(port) or "({}, [])")
            # The app is in its sandbox too: it can write only to its own folders.
            wanted = {"Uid": str(UID), "CapEff": "0" * 16, "NoNewPrivs": "1", "Seccomp": "2"}
            expect(facts == wanted and places == [], f"an app says {facts}, it can write {places}")
            subprocess.run([*runc, "kill", "pod", "TERM"], check=True)
            await_that(lambda: process.poll() is not None, STOP_S, "SIGTERM does not end it")
            expect(process.returncode == 0, f"SIGTERM ends it with {process.returncode}")
            log.seek(0)
            told = [line for line in log.read().splitlines() if '"level":"warn"' in line]
            left = sorted(path.name for path in (work / "tmp").iterdir())
        except Faulty as exc:
            log.seek(0)
            raise Faulty(f"{exc}\n{log.read()[-4000:]}") from exc
        finally:
            if process.poll() is None:
                subprocess.run([*runc, "kill", "pod", "KILL"], check=False)
                process.wait()
    yield f"restricted: user {UID}, read-only root, seccomp, its sandbox; {took:.1f} s to an answer"
    yield f"restricted: left in /tmp: {left}; warnings: {told}"
    from artifacts.stateful import examine_stateful  # which uses what is here

    yield from examine_stateful(root, work)


def said_at(port: int) -> str:
    """What the app answers, "" if the status is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/leaves/")
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == 200 else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def as_first(builder: Builder, container: str, user: str) -> tuple[list[str], list[str]]:
    """Options of `run` and a command before the program, so that it becomes process 1; or
    nothing."""
    uid, _, gid = user.partition(":")
    options = ["--user", "0", "--cap-add", "CAP_SYS_ADMIN"]
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "setpriv"]
    command += ["--reuid", uid, "--regid", gid or uid, "--clear-groups"]
    done = builder("run", *options, container, "--", *command, "sh", "-c", "echo $$")
    return (options, command) if done.stdout.strip() == "1" else ([], [])


@contextmanager
def started(command: list[str], port: int) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process that runs a container, and the one in it that is the runtime, once it serves."""
    with tempfile.TemporaryFile("w+") as log:
        env = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            await_that(lambda: process.poll() is not None or answers(port), START_S, "no answer")
            expect(process.poll() is None, f"it ended with {process.returncode}")
            yield process, runtime_at(port)
        except Faulty as exc:
            log.seek(0)
            raise Faulty(f"{exc}\n{log.read()[-4000:]}") from exc
        finally:
            if process.poll() is None:
                for pid in runtimes_at(port):
                    os.kill(pid, signal.SIGKILL)
                process.terminate()
                process.wait()


def answers(port: int) -> bool:
    """Whether the app answers with 200; it leaves an orphan each time."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/leaves/")
        answer = connection.getresponse()
        return (answer.status, answer.read()) == (200, b"left")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def runtime_at(port: int) -> int:
    found = runtimes_at(port)
    expect(bool(found), "the process of the runtime cannot be found")
    return found[0]


def runtimes_at(port: int) -> list[int]:
    """Processes that run the binary with this PORT, parents first; not the Python that it
    unpacks."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            program = os.readlink(entry / "exe")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if program.endswith("/buntime") and b"PORT=%d" % port in variables:
            found.append(int(entry.name))
    return sorted(found)


def is_left(runtime: int) -> bool:
    """Whether a `sleep`, alive or a zombie, is below the process `runtime`."""
    parents, sleeping = {}, []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            start, _, end = stat.read_text("latin-1").rpartition(")")
        except OSError:
            continue
        pid, name = int(stat.parent.name), start.partition("(")[2]
        parents[pid] = int(end.split()[1])
        sleeping += [pid] if name == "sleep" else []
    for pid in sleeping:
        while pid not in (0, 1, runtime):
            pid = parents.get(pid, 0)
        if pid == runtime:
            return True
    return False


def await_that(is_so: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until a condition holds; no event reports processes that are not ours."""
    until = time.monotonic() + seconds
    while not is_so():
        expect(time.monotonic() < until, f"{otherwise} within {seconds:.0f} s")
        time.sleep(0.1)


def expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Faulty(otherwise)


def _end(done: subprocess.CompletedProcess[str], lines: int = 1) -> str:
    """The last lines that a program printed."""
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-lines:])
