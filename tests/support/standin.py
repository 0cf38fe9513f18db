"""Plays helm and kubectl, so that the code of tests/kubernetes can run without a cluster.

It is no cluster, and proves nothing about the chart: a "pod" is a runtime of this machine, the pod
that sends requests runs only its script, and a table answers for what controllers would do.

    helm or kubectl WORDS...      with STANDIN: the folder where it keeps things
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

TYPE_CHECKING = False  # that of `typing`: a test starts this fifty times
if TYPE_CHECKING:
    from typing import Any

HERE = Path(os.environ.get("STANDIN", "/nowhere"))
ROOT = Path(__file__).resolve().parents[2]
LISTENING = ("runtime.listening", "operators.listening")


def main(program: str, words: list[str]) -> int:
    with (HERE / "commands").open("a") as log:
        log.write(json.dumps([program, *words]) + "\n")
    words, rest = split(words)
    return helm(words) if program == "helm" else kubectl(words, rest)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """The words without the namespace, and those after `--`."""
    end = words.index("--") if "--" in words else len(words)
    kept = words[:end]
    while "--namespace" in kept:
        at = kept.index("--namespace")
        del kept[at : at + 2]
    return kept, words[end + 1 :]


def helm(words: list[str]) -> int:
    if words[0] == "upgrade":
        release = words[2]
        if not (HERE / release / "pid").exists():
            start(release)
    elif words[0] == "uninstall":
        stop(words[1])
    return 0


def start(release: str) -> None:
    """Serve the release's apps, as its only pod."""
    folder, apps = HERE / release, HERE / release / "apps"
    apps.mkdir(parents=True, exist_ok=True)
    if release == "web":
        told = json.loads((HERE / "web-code.json").read_text("utf-8"))["data"]
        (apps / "web").mkdir(exist_ok=True)
        for name, text in told.items():
            (apps / "web" / name).write_text(text, "utf-8")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RUNTIME_ENV": "production",
        "RUNTIME_STATE_DIR": str(folder / "state"),
        "RUNTIME_MASTER_KEY": json.loads((HERE / "master.json").read_text("utf-8"))["stringData"][
            "master-key"
        ],
        "RUNTIME_ADMIN_LISTEN": "127.0.0.1:0",
        "RUNTIME_LOG_FORMAT": "json",
        "RUNTIME_SPARE_WORKERS": "0",
        "RUNTIME_APP_USERS": "*=root" if os.geteuid() == 0 else "",
    }
    import subprocess  # few starts need it

    command = [sys.executable, str(ROOT / "buntime.py"), str(apps), "--port", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / "uid").write_text(os.urandom(16).hex())
    (folder / "pid").write_text(str(process.pid))
    wait_for(lambda: len(ports_of(folder / "log")) == 2 or not is_alive(process.pid))
    ports = ports_of(folder / "log")
    if len(ports) < 2:
        raise SystemExit((folder / "log").read_text())
    (folder / "ports").write_text(json.dumps([ports[event] for event in LISTENING]))


def ports_of(log: Path) -> dict[str, int]:
    """Where a runtime listens, as far as its log says: event -> port. No port is chosen here,
    because others on this machine might take it meanwhile."""
    found = {}
    for line in log.read_text("utf-8").splitlines(keepends=True):
        if line.endswith("\n") and (told := json.loads(line))["event"] in LISTENING:
            found[told["event"]] = int(told["url"].rpartition(":")[2])
    return found


def stop(release: str) -> None:
    pid = int((HERE / release / "pid").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid))
    (HERE / release / "pid").unlink()


def kubectl(words: list[str], rest: list[str]) -> int:
    verb = words[0]
    if verb == "apply":
        apply(json.load(sys.stdin))
    elif verb == "exec":
        return executed(words[1], rest)
    elif verb == "logs":
        sys.stdout.write((HERE / f"{words[1]}.log").read_text())
    elif verb == "wait":
        if any("Succeeded" in word for word in words):
            wait_for(lambda: has_told_all(words[1].removeprefix("pod/")))
    elif verb == "delete" and words[1:3] == ["pod", "state-buntime-0"]:
        stop("state")
        start("state")
    elif verb == "api-versions":
        sys.stdout.write("v1\napps/v1\n")
    elif verb == "port-forward":
        forward(words[1], words[2])
    elif verb == "get":
        return got(words[1:])
    return 0


def has_told_all(pod: str) -> bool:
    """Whether each of a pod's loops has said how many requests were answered."""
    made = json.loads((HERE / f"{pod}.json").read_text("utf-8"))
    told = {each["name"]: each["value"] for each in made["spec"]["containers"][0]["env"]}
    text = (HERE / f"{pod}.log").read_text("utf-8")
    return text.count("answered ") == int(at_a_time(told)) and text.endswith("\n")


def at_a_time(told: dict[str, str]) -> str:
    """How many of a pod's loops run: a few show that the code works."""
    return str(min(int(told["AT_A_TIME"]), 6))


def apply(made: dict[str, Any]) -> None:
    name = made["metadata"]["name"]
    (HERE / f"{name}.json").write_text(json.dumps(made))
    if made["kind"] == "Pod":
        import subprocess

        [container] = made["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        ports = json.loads((HERE / told["SERVER"].removesuffix("-buntime") / "ports").read_text())
        told["AT_A_TIME"] = at_a_time(told)
        told |= {"SERVER": "127.0.0.1", "PORT": str(ports[0]), "END": str(HERE / f"{name}.end")}
        (HERE / f"{name}.end").unlink(missing_ok=True)
        with (HERE / f"{name}.log").open("w") as log:
            subprocess.Popen(
                container["command"],
                env=os.environ | told,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.DEVNULL,  # the caller waits for its own stderr to end
                start_new_session=True,
            )


def executed(pod: str, rest: list[str]) -> int:
    if rest == ["touch", "/tmp/end"]:
        (HERE / f"{pod}.end").touch()
    elif rest == ["id", "-u"]:
        sys.stdout.write("10001\n")
    else:
        sys.stderr.write("Read-only file system\n")
        return 1
    return 0


def got(words: list[str]) -> int:
    """Print the objects that are asked for; returns 1 for those that do not exist."""
    uid = (HERE / "state/uid").read_text() if (HERE / "state/uid").exists() else ""
    table = {
        "--raw": {"resources": ["pods/buntime_requests_in_progress"]},
        "pod": {"metadata": {"uid": uid}},
        "hpa": {"status": {"currentReplicas": 3}},
        "pvc": {"status": {"phase": "Bound"}},
        "service": {},
    }
    if words[0] not in table:
        sys.stderr.write("NotFound\n")
        return 1
    json.dump(table[words[0]], sys.stdout)
    return 0


def forward(target: str, port: str) -> None:
    """Like `kubectl port-forward`: print the address and stay; nothing needs forwarding here."""
    name = target.partition("/")[2]
    release = "web" if name == "traefik" else name.partition("-")[0]
    ports = json.loads((HERE / release / "ports").read_text())
    own = ports[1] if port == ":8001" else ports[0]
    sys.stdout.write(f"Forwarding from 127.0.0.1:{own} -> {port[1:]}\n")
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever started the tests may ignore it
    signal.pause()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(is_so: Any) -> None:
    until = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit("the stand-in waited for too long")
        time.sleep(0.05)  # polls
