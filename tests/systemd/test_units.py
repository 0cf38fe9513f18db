"""The units, under a real systemd: what they promise, in the order of a service's life."""

import json
import re
import threading
import time

import httpx
import pytest

from tests.support.harness import wait_until
from tests.systemd.conftest import Machine

_USERS = """[Service]
User=root
Group=root
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_CHOWN CAP_DAC_OVERRIDE
SystemCallFilter=
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
Environment=RUNTIME_APP_USERS=*=nobody
"""


def test_they_are_valid(machine: Machine) -> None:
    """systemd finds nothing wrong with them, and little that they leave open."""
    assert machine.run("systemd-analyze", "verify", "buntime.service", "buntime.socket") == ""
    told = machine.run("systemd-analyze", "security", "--no-pager", "buntime.service")
    level = re.search(r"exposure level for buntime.service: ([\d.]+)", told)
    assert level is not None
    assert float(level[1]) <= 2.0


def test_start(machine: Machine) -> None:
    """The service is active once it answers, runs as its user, and says how many apps it serves."""
    assert machine.shown("ActiveState") == "active"
    assert machine.get().text == "ok"
    assert "1 app" in machine.shown("StatusText")
    user = machine.run("stat", "-c", "%U", f"/proc/{machine.runtime}").strip()
    assert user == "buntime"


def test_the_journal(machine: Machine) -> None:
    """The lines are buntime's, with the priority of their level."""
    records = machine.records("-b")
    ours = [each for each in records if each.get("SYSLOG_IDENTIFIER") == "buntime"]
    assert any("listening" in str(each["MESSAGE"]) for each in ours)
    assert {each["SYSLOG_IDENTIFIER"] for each in records} <= {"buntime", "systemd"}
    assert "6" in {each["PRIORITY"] for each in ours}


def test_reload(machine: Machine) -> None:
    """Settings and apps are read again, in the same process, and clients notice nothing."""
    before = machine.runtime
    settings = machine.root / "etc/buntime/buntime.env"
    text = settings.read_text()
    try:
        with machine.loaded() as wrong:
            settings.write_text(text + "RUNTIME_POOL_SIZE=7\n")
            machine.run("systemctl", "reload", "buntime")
            assert machine.shown("ActiveState") == "active"
        assert wrong == []
        assert machine.runtime == before
        key = machine.run("sh", "-c", "sed s/.*KEY=// /etc/buntime/secrets.env").strip()
        told = machine.get("/api/config", headers={"x-api-key": key}).json()
        assert json.dumps(told).count('"RUNTIME_POOL_SIZE"') == 1
        assert re.search(r'"RUNTIME_POOL_SIZE".{0,200}?\b7\b', json.dumps(told))
    finally:
        settings.write_text(text)
        machine.run("systemctl", "reload", "buntime")


def test_restart(machine: Machine) -> None:
    """A new process takes over the socket, and no request is lost or refused."""
    before = machine.runtime
    with machine.loaded() as wrong:
        machine.run("systemctl", "restart", "buntime")
    assert wrong == []
    assert machine.runtime != before


def test_stop(machine: Machine) -> None:
    """Requests in hand are answered before it ends; a client starts it again through the socket."""
    answers: list[int] = []
    slow = threading.Thread(
        target=lambda: answers.append(machine.get("/tried/slow?s=2").status_code)
    )
    slow.start()
    wait_until(lambda: "active" in _workers(machine))
    machine.run("systemctl", "stop", "buntime.service")
    slow.join()
    assert answers == [200]
    assert machine.shown("Result") == "success"
    assert machine.get().text == "ok"


def _workers(machine: Machine) -> str:
    key = machine.run("sh", "-c", "sed s/.*KEY=// /etc/buntime/secrets.env").strip()
    return machine.get("/api/workers", headers={"x-api-key": key}).text


@pytest.mark.timeout(120)
def test_the_watchdog(machine: Machine) -> None:
    """A runtime whose loop stands still is killed and restarted; clients wait meanwhile.

    A loop that stands still accepts nothing more. A stopped process may, for a moment: with SIGABRT
    systemd sends SIGCONT, and a thread may accept the waiting client before another one takes the
    SIGABRT. SIGKILL needs no SIGCONT.
    """
    with machine.changed("[Service]\nWatchdogSec=4\nWatchdogSignal=SIGKILL\n"):
        machine.run("systemctl", "restart", "buntime")
        before = machine.runtime
        machine.run("kill", "-STOP", str(before))
        assert machine.get().text == "ok"  # from the next one
        assert machine.runtime != before
        assert "Watchdog timeout" in machine.run("journalctl", "-u", "buntime", "-b", "--no-pager")


@pytest.mark.timeout(120)
def test_crashes(machine: Machine) -> None:
    """A killed runtime is back a second later, however often that happens."""
    for _ in range(3):
        before = machine.runtime
        machine.run("kill", "-KILL", str(before))
        machine.wait_for_other(before)
    assert machine.shown("ActiveState") == "active"
    assert machine.shown("ActiveState", "buntime.socket") == "active"
    # With systemd's own limits, 5 in 10 s, it would have given up where a start takes less than a
    # second.
    assert int(machine.shown("StartLimitBurst")) >= 30
    assert machine.shown("StartLimitIntervalUSec") == "1min"


def test_a_wrong_setting(machine: Machine) -> None:
    """A failed start is not repeated, and the journal says what is wrong and where."""
    with machine.changed("[Service]\nEnvironment=RUNTIME_POOL_SIZE=many\n"):
        machine.run("systemctl", "stop", "buntime.socket", "buntime.service")
        machine.run("systemctl", "start", "buntime.service", fails=True)
        assert machine.shown("ExecMainStatus") == "2"
        assert machine.shown("NRestarts") == "0"
        assert "RUNTIME_POOL_SIZE" in machine.journal()


def test_what_apps_can_write(machine: Machine) -> None:
    """Apps can write only to the service's /tmp and their data; settings and keys are closed."""
    for path in ("/etc/x", "/usr/x", "/srv/apps/tried/x", "/var/lib/x", "/root/x"):
        assert machine.get("/tried/write", params={"at": path}).text != "done", path
    for path in ("/etc/buntime/secrets.env", "/var/lib/buntime/state.db", "/root/x"):
        assert machine.get("/tried/read", params={"at": path}).text != "done", path


def test_credentials(machine: Machine) -> None:
    """The master key and apps' secrets are credentials: the runtime has them, apps do not."""
    machine.run("sh", "-c", "umask 077; printf made-of-24-random-bytes-1 > /root/master")
    machine.run("sh", "-c", "umask 077; printf sk_live_7 > /root/stripe")
    manifest = machine.root / "srv/apps/tried/buntime.yaml"
    text = manifest.read_text()
    drop_in = """[Service]
LoadCredential=RUNTIME_MASTER_KEY:/root/master
LoadCredential=tried.STRIPE_KEY:/root/stripe
Environment=RUNTIME_SECRETS_DIR=%d
EnvironmentFile=
"""
    manifest.write_text(json.dumps({**json.loads(text), "secrets": ["STRIPE_KEY"]}))
    try:
        with machine.changed(drop_in):
            machine.run("systemctl", "restart", "buntime")
            answer = machine.get("/tried/who")
            assert answer.status_code == 200, answer.text + machine.journal()
            told = answer.json()["env"]
            assert told["STRIPE_KEY"] == "sk_live_7"
            assert "made-of-24" not in json.dumps(told)
            assert "CREDENTIALS_DIRECTORY" not in told
            for name in ("RUNTIME_MASTER_KEY", "tried.STRIPE_KEY"):
                path = f"/run/credentials/buntime.service/{name}"
                assert machine.get("/tried/read", params={"at": path}).text != "done"
            right = {"x-api-key": "made-of-24-random-bytes-1"}
            assert machine.get("/api/workers", headers=right).status_code == 200
            assert machine.get("/api/workers", headers={"x-api-key": "no"}).status_code == 401
    finally:
        manifest.write_text(text)


def test_users_of_apps(machine: Machine) -> None:
    """With the drop-in of docs/deployment.md apps have their own users."""
    with machine.changed(_USERS):
        machine.run("systemctl", "restart", "buntime")
        nobody = int(machine.run("id", "-u", "nobody"))
        assert machine.get("/tried/who").json()["uid"] == nobody
    assert machine.get("/tried/who").json()["uid"] != nobody


def test_limits_of_workers(machine: Machine) -> None:
    """The kernel enforces `memoryMax` if systemd has memory to delegate."""
    controllers = machine.run("cat", "/sys/fs/cgroup/cgroup.controllers").split()
    if "memory" not in controllers:
        pytest.skip(f"version 2 of cgroups has no memory here, but {controllers}")
    manifest = machine.root / "srv/apps/tried/buntime.yaml"
    text = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(text), "memoryMax": "100MB"}))
    try:
        machine.run("systemctl", "reload", "buntime")
        machine.get()
        found = machine.run("sh", "-c", "cat $(find /sys/fs/cgroup -name memory.max)")
        assert str(100 * 1000 * 1000) in found or str(100 * 1024 * 1024) in found
    finally:
        manifest.write_text(text)
        machine.run("systemctl", "reload", "buntime")


def test_nothing_listens_after_all(machine: Machine) -> None:
    """With both units stopped no connection is accepted, and none of its processes is left."""
    machine.run("systemctl", "stop", "buntime.socket", "buntime.service")
    with pytest.raises(httpx.ConnectError):
        machine.get()
    left = machine.run("sh", "-c", "systemctl show -P ControlGroup buntime; ps ax -o user= | cat")
    assert "buntime" not in left.splitlines()[1:]
    begun = time.monotonic()
    machine.run("systemctl", "start", "buntime.socket", "buntime.service")
    assert machine.get().text == "ok"
    assert time.monotonic() - begun < 30
