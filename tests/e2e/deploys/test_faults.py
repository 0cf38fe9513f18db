"""Deploys that are interrupted, meet a full disk, come two at a time, or are large: what served
still serves, and nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.deploying import AS_ROOT, Operator, app, fault, package, packed
from tests.support.disks import fill, small_disk
from tests.support.harness import Runtime, running, wait_until
from tests.support.hostilearchives import noise, zipped

LARGE_BYTES = 64 << 20  # many times what the runtime may need for it
PRODUCTION = {"RUNTIME_ENV": "production", **AS_ROOT}
NOISE = noise(300_000)
ALL_STEPS = """
import os
from buntime import Response

def fetch(request):
    return Response(f"{VERSION} {os.getpid()}")
"""


def whole(version: str, **files: str | bytes) -> bytes:
    """An app whose deploy has every step except the installation of packages."""
    return packed(
        {"app.py": f"VERSION = {version!r}\n{ALL_STEPS}", "migrate.py": "", **files},
        ttl=600,
        release="python migrate.py",
        check="/",
        keepVersions=20,
    )


def seen(apps: Path) -> set[str]:
    """All that is there, links with their targets; without bytecode and the turn files."""
    return {
        f"{path.relative_to(apps)}{' -> ' + os.readlink(path) if path.is_symlink() else ''}"
        for path in apps.rglob("*")
        if "__pycache__" not in path.parts and path.name not in ("turn", "filler")
    }


@contextlib.contextmanager
def traffic(runtime: Runtime, path: str) -> Iterator[list[str]]:
    """Two clients that ask with pauses of 50 ms; yields the answers, which must all be 200."""
    done = threading.Event()
    answers: list[str] = []
    failures: list[str] = []

    def ask() -> None:
        with Operator(runtime).http as http:
            while not done.wait(0.05):
                answer = http.get(path)
                answers.append(answer.text.split()[0])
                if answer.status_code != 200:
                    failures.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: answers)
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []


# Killed


STEPS = ("upload", "received", "unpacked", "checked", "releasing", "booted", "probed")


@pytest.mark.timeout(150)  # eight starts and ten deploys, 5 s on an idle machine
def test_killed(tmp_path: Path) -> None:
    """Killed as soon as it has reached a step: the next start serves what served, or all of the new
    version if that was quicker, and has removed the rest. Then the same deploy comes as far as the
    next step, where it is killed, and at last to its end."""
    version = 2
    with running(tmp_path, env=PRODUCTION) as runtime, Operator(runtime).http as http:
        operator = Operator(runtime)
        operator.http = http
        assert operator.put("shop", "1.0.0", whole("1")).status_code == 201
        old = seen(tmp_path)
        _deploy_and_kill(runtime, http, str(version), STEPS[0])
    for step, after in zip(STEPS, (*STEPS[1:], None), strict=True):
        with running(tmp_path, env=PRODUCTION) as runtime, Operator(runtime).http as http:
            operator = Operator(runtime)
            operator.http = http
            if _is_new(operator, tmp_path, old, (str(version - 1), str(version)), step):
                old, version = seen(tmp_path), version + 1
            if after is not None:
                _deploy_and_kill(runtime, http, str(version), after)
                continue
            told = operator.put("shop", f"{version}.0.0", _large(str(version)))
            assert told.status_code == 201, told.text
            assert operator.said("/shop/").split()[0] == str(version)


def _large(version: str) -> bytes:
    return whole(version, **{"large.bin": NOISE})


def _deploy_and_kill(runtime: Runtime, http: httpx.Client, version: str, step: str) -> None:
    archive = _large(version)

    def body() -> Iterator[bytes]:
        yield archive[:100_000]
        if step == "upload":
            os.kill(runtime.pid, signal.SIGKILL)
        yield archive[100_000:]

    path, fields = f"/api/apps/shop/versions/{version}.0.0", {"Accept": "application/x-ndjson"}
    with (
        contextlib.suppress(Exception),
        http.stream("PUT", path, content=body(), headers=fields) as answer,
    ):
        for line in answer.iter_lines():
            if json.loads(line).get("step") == step:
                os.kill(runtime.pid, signal.SIGKILL)
    wait_until(lambda: runtime.process.poll() is not None)


def _is_new(
    operator: Operator, apps: Path, old: set[str], versions: tuple[str, str], step: str
) -> bool:
    """It serves the former version, with nothing left of the new one, or the new one."""
    serving = operator.said("/shop/").split()[0]
    assert serving in versions, step
    if serving == versions[0]:
        assert seen(apps) == old, step
        assert operator.http.get(f"/shop@{versions[1]}.0.0/").status_code == 404
    return serving == versions[1]


def with_packages(version: str, size_bytes: int, *, links: str = "wheels") -> bytes:
    """An app with a package of that size in its archive; pip looks for packages at `links` too."""
    files = {
        "app.py": f"VERSION = {version!r}\nimport tiny\n{ALL_STEPS}",
        **package("tiny", size_bytes, links=links),
    }
    return packed(files, ttl=600, autoInstall=True)


def test_killed_while_it_installs(tmp_path: Path) -> None:
    """Killed when pip waits for an index: the next start has removed the release with its
    environment, and the same deploy makes both again."""
    with (
        socket.create_server(("127.0.0.1", 0)) as index,
        running(tmp_path, env=PRODUCTION) as runtime,
    ):
        archive = with_packages("2", 1000, links=f"http://127.0.0.1:{index.getsockname()[1]}/")
        operator = Operator(runtime)

        def deploy() -> None:
            with contextlib.suppress(httpx.HTTPError):
                operator.put("shop", "2.0.0", archive)

        with operator.http:
            assert operator.put("shop", "1.0.0", whole("1")).status_code == 201
            old = seen(tmp_path)
            deploying = threading.Thread(target=deploy)
            deploying.start()
            with index.accept()[0]:  # that is pip
                assert operator.deploys()[0]["step"] == "installing"
                os.kill(runtime.pid, signal.SIGKILL)
                deploying.join()
                wait_until(lambda: runtime.process.poll() is not None)
    with running(tmp_path, env=PRODUCTION) as runtime:
        operator = Operator(runtime)
        with operator.http:
            assert operator.said("/shop/").split()[0] == "1"
            assert seen(tmp_path) == old
            told = operator.put("shop", "2.0.0", with_packages("2", 1000))
            assert told.status_code == 201, told.text
            assert operator.said("/shop/").split()[0] == "2"


# A full disk


def test_a_full_disk_while_it_installs(tmp_path: Path) -> None:
    """The deploy fails at that step and says why; nothing is left of release and environment."""
    with (
        small_disk(tmp_path / "apps", size="6m", inodes=3000) as apps,
        running(apps, env=PRODUCTION) as runtime,
    ):
        operator = Operator(runtime)
        with operator.http:
            assert operator.put("shop", "1.0.0", _streamed(whole("1"))).status_code == 201
            before = seen(apps)
            failed = operator.put("shop", "2.0.0", _streamed(with_packages("2", 9_000_000)))
            told = failed.json()
            assert told["failed"] == "installing", told
            assert (failed.status_code, told["error"]["code"]) == (507, "disk_full")
            assert "No space left on device" in told["error"]["message"]
            assert seen(apps) == before
            assert operator.said("/shop/").split()[0] == "1"


def test_a_full_disk(tmp_path: Path) -> None:
    """With room for two more files at each try, it fails at one step after another; what served
    serves all the time, and nothing is left of each try. (Each single change that can fail is
    tried in tests/server/deploys.)"""
    with (
        small_disk(tmp_path / "apps", size="8m", inodes=200) as apps,
        running(apps, env=PRODUCTION) as runtime,
        Operator(runtime).http as http,
    ):
        operator = Operator(runtime)
        operator.http = http
        assert operator.put("shop", "1.0.0", _streamed(whole("1"))).status_code == 201
        with traffic(runtime, "/shop/") as answers:
            failed = _fill_up(operator, apps)
            assert {"unpacked", "active"} <= failed
            large = zipped(("a.bin", bytes(9_900_000)), ("app.py", b""))
            told = operator.put("shop", "3.0.0", _streamed(large))
            assert told.json()["failed"] == "unpacked"
        assert set(answers) <= {"1", "2"}
        told = operator.put("shop", "3.0.0", _streamed(noise(13_000_000)))
        assert fault(told) == (507, "disk_full")
        told = operator.put("shop", "3.0.0", noise(1_000_000))
        assert fault(told) == (507, "disk_full")


FILLS = """
def fill(place):
    with open(place, "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
"""
NAMES = """
def fill(place):
    import contextlib, itertools, pathlib
    with contextlib.suppress(OSError):
        for number in itertools.count():
            pathlib.Path(f"{place}{number}").touch()
"""


def test_a_disk_that_a_step_fills(tmp_path: Path) -> None:
    """What a version's own program, its import or its check writes there is removed with it; if
    they have left no room for its link, it does not become active."""
    with (
        small_disk(tmp_path / "apps", size="8m", inodes=400) as apps,
        running(apps, env=PRODUCTION) as runtime,
    ):
        operator = Operator(runtime)
        ways = {
            "releasing": {"migrate.py": f"{FILLS}\nfill('big')"},
            "booted": {"app.py": f"{FILLS}\nfill('big')"},
            "probed": {"app.py": f"{FILLS}\ndef fetch(request): fill('big')"},
            "active": {"app.py": f"VERSION = '2'\n{ALL_STEPS}\n{NAMES}\nfill('filler')"},
        }
        with operator.http:
            assert operator.put("shop", "1.0.0", _streamed(whole("1"))).status_code == 201
            before = seen(apps)
            with traffic(runtime, "/shop/"):
                for step, files in ways.items():
                    told = operator.put("shop", "2.0.0", _streamed(whole("2", **files))).json()
                    assert told.get("failed") == step, told
                    assert seen(apps) == before, step
            assert told["error"]["code"] == "disk_full"
            assert operator.put("shop", "2.0.0", _streamed(whole("2"))).status_code == 201


def test_a_full_disk_of_the_state(tmp_path: Path) -> None:
    """If state.db runs out of room during a deploy, the deploy goes on: that is reported, and what
    is not kept is in the log. With room again the next one is kept."""
    apps = tmp_path / "apps"
    apps.mkdir()
    with small_disk(tmp_path / "disk", size="8m", inodes=60) as disk:
        env = {**PRODUCTION, "RUNTIME_STATE_DIR": str(disk / "state")}
        archive = whole("2")

        def body() -> Iterator[bytes]:
            yield archive[:100]
            # In the state folder, which sandboxed apps cannot see: the kernel keeps a removed file,
            # and its room, while a rule of a worker's sandbox names it.
            fill(disk / "state")
            yield archive[100:]

        with running(apps, env=env) as runtime:
            operator = Operator(runtime)
            with operator.http:
                assert operator.put("shop", "1.0.0", whole("1")).status_code == 201
                with traffic(runtime, "/shop/"):
                    told = operator.put("shop", "2.0.0", body())
                    assert (told.status_code, told.json()["state"]) == (201, "done"), told.text
                assert operator.said("/shop/").split()[0] == "2"
                runtime.wait_for_record("state.db_unavailable")
                runtime.wait_for_record("audit.not_kept")
                assert operator.deploys()[0]["version"] == "2.0.0"
                (disk / "state/filler").unlink()
                assert operator.put("shop", "3.0.0", whole("3")).status_code == 201
            assert runtime.stop() == 0
        with running(apps, env=env) as runtime, Operator(runtime).http as http:
            operator.http = http
            wait_until(operator.deploys)
            kept = [each["version"] for each in operator.deploys()]
            assert kept[0] == "3.0.0"
            assert operator.said("/shop/").split()[0] == "3"


def _streamed(archive: bytes) -> Iterator[bytes]:
    """Sends the archive without a length, so that the room is not checked first."""
    for start in range(0, len(archive), 60_000):
        yield archive[start : start + 60_000]


def _fill_up(operator: Operator, apps: Path) -> set[str]:
    """Deploys with more and more room; returns the steps at which it failed."""
    failed = set()
    before = seen(apps)
    for room in range(0, 30, 2):
        fillers = apps / "filler"
        fillers.mkdir(exist_ok=True)
        free = os.statvfs(apps).f_ffree
        for number in range(free - room):
            (fillers / f"{room}-{number}").touch()
        told = operator.put("shop", "2.0.0", _streamed(whole("2"))).json()
        for each in fillers.iterdir():
            each.unlink()
        fillers.rmdir()
        if told.get("state") == "done":
            break
        assert told["error"]["code"] == "disk_full", told
        failed.add(told.get("failed", "received"))
        assert seen(apps) == before
    return failed


# Two at once, and large ones


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env=PRODUCTION) as runtime:
        yield runtime


def test_several_at_once(operator: Operator, runtime: Runtime, apps: Path) -> None:
    """Deploys of one app finish one after another, and no request fails."""
    assert operator.put("busy", "1.0.0", app("1.0.0")).status_code == 201
    versions = [f"1.{number}.0" for number in range(1, 6)]
    told: list[int] = []

    def deploy(version: str) -> None:
        other = Operator(runtime)
        with other.http:
            told.append(other.put("busy", version, app(version)).status_code)

    with traffic(runtime, "/busy/") as answers:
        threads = [threading.Thread(target=deploy, args=[version]) for version in versions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told == [201] * 5
    assert set(answers) <= {"1.0.0", *versions}
    last = operator.deploys(app="busy")
    assert os.readlink(apps / "busy" / "latest") == operator.said("/busy/").split()[0]
    assert {each["state"] for each in last} == {"done"}
    ends = sorted((each["steps"][1]["at"], each["steps"][-1]["at"]) for each in last)
    assert len(ends) == 6


def test_what_fails_beside_traffic(operator: Operator, runtime: Runtime, apps: Path) -> None:
    """A deploy fails at any step, one is rolled back, one is removed: no request fails."""
    plain = f"VERSION = '2'\n{ALL_STEPS}"
    ways = {
        "checked": packed({"app.py": "", "buntime.yaml": "ttl: soon"}),
        "installing": packed(
            {"app.py": plain, "requirements.lock": "--no-index\nnothing==1\n"}, autoInstall=True
        ),
        "releasing": packed(
            {"app.py": plain, "no.py": "raise SystemExit(3)"}, release="python no.py"
        ),
        "booted": app("2", code="1 / 0"),
        "probed": app("2", check="/", code="def fetch(request): return 1 / 0"),
    }
    assert operator.put("lively", "1.0.0", app("1")).status_code == 201
    old = seen(apps)
    with traffic(runtime, "/lively/") as answers:
        for step, archive in ways.items():
            told = operator.put("lively", "2.0.0", archive).json()
            assert told.get("failed") == step, told
            if step == "installing":  # packages that cannot be had
                assert told["error"]["code"] == "app_invalid"
                assert operator.http.get("/lively@2.0.0/").status_code == 404
            assert seen(apps) == old, step
            counted = len(answers)
            wait_until(lambda counted=counted: len(answers) > counted)
        assert set(answers) == {"1"}
        assert operator.put("lively", "2.0.0", app("2")).status_code == 201
        assert operator.rollback("lively").status_code == 200
        assert operator.remove("lively", "2.0.0").status_code == 200
        counted = len(answers)
        wait_until(lambda: len(answers) > counted + 4)
        assert answers[-1] == "1"


def test_a_rollback_takes_no_time(operator: Operator, runtime: Runtime) -> None:
    """If the former version has a loaded worker, a rollback takes as long as switching a link."""
    for version in ("1.0.0", "2.0.0"):
        assert operator.put("quick", version, app(version)).status_code == 201
    operator.said("/quick@1.0.0/")
    began = time.monotonic()
    told = operator.rollback("quick").json()
    took = time.monotonic() - began
    assert operator.said("/quick/").split()[0] == "1.0.0"
    booted_ms = next(each["ms"] for each in told["steps"] if each["step"] == "booted")
    assert took - booted_ms / 1000 < 1


def test_its_client_leaves(operator: Operator, runtime: Runtime) -> None:
    """Once the archive has come the deploy goes on; before that, nothing is left."""
    archive = packed(
        {"app.py": "from buntime import Response\ndef fetch(r): return Response('2')"}, ttl=600
    )
    head = (
        "PUT /api/apps/left/versions/1.0.0 HTTP/1.1\r\nHost: a\r\n"
        f"X-API-Key: {runtime.operators_key}\r\nContent-Length: {len(archive)}\r\n\r\n"
    ).encode()
    with runtime.connect() as sock:
        sock.sendall(head + archive[:-10])
        wait_until(lambda: operator.deploys(app="left"))
    wait_until(lambda: operator.deploys(app="left")[0]["state"] == "failed")
    assert operator.deploys(app="left")[0]["failed"] == "received"
    with runtime.connect() as sock:
        sock.sendall(head + archive)
        wait_until(lambda: len(operator.deploys(app="left")) == 2)
    wait_until(lambda: operator.deploys(app="left")[0]["state"] == "done")
    assert operator.said("/left/") == "2"


def test_a_large_one(operator: Operator, runtime: Runtime) -> None:
    """The runtime's memory does not grow while an archive comes and is unpacked."""
    megabytes = int(os.environ.get("LARGE_MB", "40"))
    archive = zipped(
        ("app.py", f"VERSION = '1'\n{ALL_STEPS}".encode()),
        ("a.bin", bytes(megabytes << 20)),
        method=0,
    )
    operator.said("/health")
    before = _peak_kb(runtime.pid)
    told = operator.put("large", "1.0.0", archive)
    assert told.status_code == 201, told.text
    assert _peak_kb(runtime.pid) - before < 16_000
    assert operator.remove("large", "1.0.0").status_code == 409


def test_a_large_one_packed_small(operator: Operator, runtime: Runtime, apps: Path) -> None:
    """The same for an archive that is just not suspicious, and much smaller than what it holds."""
    block = noise(24_000).ljust(1 << 20, b"\0")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, content in (("app.py", f"VERSION = '1'\n{ALL_STEPS}".encode()), ("a.bin", None)):
            info = tarfile.TarInfo(name)
            info.size = LARGE_BYTES if content is None else len(content)
            tar.addfile(info, Repeated(block) if content is None else io.BytesIO(content))
    operator.said("/health")
    before = _peak_kb(runtime.pid)
    told = operator.put("half", "1.0.0", archive.getvalue())
    assert told.status_code == 201, told.text
    assert _peak_kb(runtime.pid) - before < 16_000
    assert (apps / "half" / "1.0.0" / "a.bin").stat().st_size == LARGE_BYTES
    (apps / "half" / "1.0.0" / "a.bin").write_bytes(b"")  # frees the disk's space


class Repeated(io.RawIOBase):
    """A file of the same bytes again and again."""

    def __init__(self, block: bytes) -> None:
        self._block = block

    def read(self, size: int = -1) -> bytes:
        return (self._block * (size // len(self._block) + 1))[:size]


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_runtime_that_ends(tmp_path: Path) -> None:
    """A runtime that stops waits for no deploy: the client gets an answer at once, and the next
    start removes what is left."""
    with running(tmp_path, env=PRODUCTION) as runtime:
        operator = Operator(runtime)
        slow = packed(
            {"app.py": "", "slow.py": "import time\nprint(1, flush=True)\ntime.sleep(60)"},
            release="python slow.py",
        )
        with operator.http as http:
            assert operator.put("shop", "1.0.0", whole("1")).status_code == 201
            old = seen(tmp_path)
            fields = {"Accept": "application/x-ndjson"}
            path = "/api/apps/shop/versions/2.0.0"
            lines = []
            with http.stream("PUT", path, content=slow, headers=fields) as answer:
                for text in answer.iter_lines():
                    lines.append(json.loads(text))
                    if "line" in lines[-1]:
                        runtime.process.send_signal(signal.SIGTERM)
        assert (lines[-1]["failed"], lines[-1]["error"]["code"]) == ("releasing", "draining")
        assert runtime.stop() == 0
    with running(tmp_path, env=PRODUCTION) as runtime:
        assert seen(tmp_path) == old
