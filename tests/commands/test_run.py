"""`buntime run`: runs a program of an app once, with or without a running runtime."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from buntime.server.sandbox.probe import find_kernel
from tests.support.harness import begin, command, running, wait_until, write_app
from tests.support.runs import environ, run

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
TELLS = (
    "import os, sys; e = os.environ; print(os.getcwd() == e['APP_DIR'], e.get('DATABASE_URL'), "
    "e['COLOUR'], e.get('SECRET_KEY'), os.getuid(), sys.stdin.read()); sys.exit(5)"
)


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    write_app(
        tmp_path / "apps/shop@1.2.0",
        {"app.py": "def fetch(request): ...\n"},
        env={"COLOUR": "red"},
        secrets=["DATABASE_URL"],
        data=True,
    )
    return tmp_path


def grant(root: Path) -> None:
    folder = root / "state/secrets/shop"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "DATABASE_URL").write_text("postgres://x")
    (folder / "DATABASE_URL").chmod(0o600)


def env_of(root: Path) -> dict[str, str]:
    return {"RUNTIME_STATE_DIR": str(root / "state"), "SECRET_KEY": "s3cret"}


def test_as_a_worker(apps: Path) -> None:
    """It has stdin, secrets and variables, and its exit code is kept; missing secrets are named."""
    line = ("run", "shop@^1.0.0", "--dir", "apps", "--", "python", "-c", TELLS)
    done = run(*line, cwd=apps, env=env_of(apps))
    assert done.returncode == 1
    assert "buntime secrets set shop DATABASE_URL" in done.stderr
    grant(apps)
    with open(apps / "in", "w+") as stdin:
        stdin.write("hello")
        stdin.seek(0)
        done = run(*line, cwd=apps, env=env_of(apps), stdin=stdin)
    assert done.stdout == f"True postgres://x red None {os.getuid()} hello\n"
    assert (done.returncode, done.stderr) == (5, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders of others")
def test_data_of_another_user(apps: Path) -> None:
    """They are most likely of a runtime with other settings, which keeps them."""
    grant(apps)
    data = apps / "state/data/shop"
    data.mkdir(parents=True, mode=0o700)
    os.chown(data, 65534, 65534)
    done = run("run", "shop", "--dir", "apps", "--", "true", cwd=apps, env=env_of(apps))
    assert done.returncode == 1
    assert f"{data} belongs to the user 65534, and the app runs as 0; give this " in done.stderr
    assert "chown" not in done.stderr


def test_faults(apps: Path) -> None:
    """A missing app, program or word is reported in one line."""
    env = {**env_of(apps), "RUNTIME_WORKER_DIRS": "apps"}
    grant(apps)
    for words, code, says in (
        (("shop",), 2, "run needs an app and a program"),
        (("../shop", "--", "sh"), 2, "is not an app"),
        (("shoe", "--", "sh"), 1, "apps; did you mean shop?"),
        (("shop", "--", "no-such"), 127, "no-such cannot be run (No such file or directory)"),
    ):
        done = run("run", *words, cwd=apps, env=env)
        assert done.returncode == code
        assert says in done.stderr


def test_where_the_apps_are(apps: Path) -> None:
    """Without a folder of apps the error names the flag of this command."""
    done = run("run", "shop", "--", "sh", cwd=apps, env=env_of(apps))
    says = "buntime: error: run needs the folders of apps: --dir DIR:DIR, or RUNTIME_WORKER_DIRS\n"
    assert (done.returncode, done.stderr) == (2, says)


def test_signals_are_its_own(apps: Path) -> None:
    """A signal to the command reaches the program, whose end becomes the command's."""
    grant(apps)
    script = "trap 'echo caught; exit 9' TERM; echo on; while :; do sleep 0.05; done"
    line = ["run", "shop", "--dir", "apps", "--", "sh", "-c", script]
    process = begin(line, environ(env_of(apps)), cwd=apps)
    assert process.stdout is not None
    with process.stdout as told:
        assert told.readline() == "on\n"
        process.send_signal(signal.SIGTERM)
        assert told.read() == "caught\n"
    assert process.wait(20) == 9


def test_at_a_terminal(apps: Path) -> None:
    """The terminal is the program's: it may ask, and knows what kind of terminal it is."""
    grant(apps)
    script = "test -t 0 && test -t 1 && echo $TERM && read line && echo got $line"
    ours, theirs = pty.openpty()
    env = environ({**env_of(apps), "TERM": "xterm"})
    process = subprocess.Popen(
        [*command(), "run", "shop", "--dir", "apps", "--", "sh", "-c", script],
        cwd=apps, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, b"yes\n")
    seen = b""
    while b"got yes" not in seen:
        seen += os.read(ours, 1000)
    os.close(ours)
    assert process.wait(20) == 0
    assert b"xterm" in seen


def test_beside_a_runtime(apps: Path) -> None:
    """It has the data of the app that a runtime serves, and is in the app's sandbox."""
    grant(apps)
    with running(apps / "apps", env=env_of(apps)):
        script = f"touch $APP_DATA_DIR/made; cat {apps}/state/local.key; echo $?"
        line = ("run", "shop", "--dir", "apps", "--", "sh", "-c")
        done = run(*line, script, cwd=apps, env=env_of(apps))
        assert (apps / "state/data/shop/made").exists()
        assert done.stdout == "1\n" if find_kernel().is_fit else "0\n"
        # Its temporary folder is removed when the next run cleans up.
        scratch = len(list((apps / "state").glob("tmp-*")))
        run(*line, "true", cwd=apps, env=env_of(apps))
        assert len(list((apps / "state").glob("tmp-*"))) == scratch


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read")
def test_as_the_apps_user() -> None:
    """If the operator is root, it runs as the app's user, with a folder for its data."""
    # Not in pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory(prefix="buntime-run-") as name:
        root = Path(name)
        root.chmod(0o755)
        write_app(root / "apps/shop", {"app.py": ""}, python=SYSTEM_PYTHON, data=True)
        env = {"RUNTIME_APP_USERS": "shop=nobody", "RUNTIME_STATE_DIR": str(root / "state")}
        script = "id -un; touch $APP_DATA_DIR/made $HOME/made && echo made"
        done = run("run", "shop", "--dir", "apps", "--", "sh", "-c", script, cwd=root, env=env)
        assert (done.stdout, done.returncode) == ("nobody\nmade\n", 0)


TIED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
@pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read")
def test_its_first_process_is_killed() -> None:
    """A program that ends with its parent, as the binary's do, does so as another user too."""
    with tempfile.TemporaryDirectory(prefix="buntime-run-") as name:
        root = Path(name)
        root.chmod(0o755)
        write_app(root / "apps/shop", {"app.py": ""}, python=SYSTEM_PYTHON)
        env = {"RUNTIME_APP_USERS": "shop=nobody", "RUNTIME_STATE_DIR": str(root / "state")}
        line = [*command(), "run", "shop", "--dir", "apps", "--", "sh", "-c", "id -un; exec cat"]
        tied = shlex.join([sys.executable, "-c", TIED, *line])
        # The first process waits for its program, which waits for input.
        reader, writer = os.pipe()
        with subprocess.Popen(
            ["sh", "-c", f"{tied}; :"],
            cwd=root,
            env=environ(env),
            text=True,
            stdin=reader,
            stdout=subprocess.PIPE,
        ) as first:
            os.close(reader)
            assert first.stdout is not None
            assert first.stdout.readline() == "nobody\n"
            first.kill()
            assert first.stdout.read() == ""  # ends once nobody holds the pipe any more

        def is_over() -> bool:
            """The program has ended, and then whoever started it."""
            try:
                os.write(writer, b"x")
            except BrokenPipeError:
                return True
            return False

        wait_until(is_over, 20, "the end of all who read")
        os.close(writer)


@pytest.mark.skipif(not find_kernel().is_fit, reason="needs Landlock")
def test_as_operators_leave_the_app(tmp_path: Path) -> None:
    """Operators' settings for the app apply here too: its manifest cannot turn the sandbox off."""
    write_app(tmp_path / "apps/shop", {"app.py": ""}, sandbox="off")
    (tmp_path / "config.yaml").write_text("apps: {shop: {sandbox: standard}}\n")
    (tmp_path / "config.yaml").chmod(0o600)
    env = {"RUNTIME_STATE_DIR": str(tmp_path / "state")}
    line = ("run", "shop", "--dir", "apps", "--config", "config.yaml", "--")
    done = run(*line, "sh", "-c", f"touch {tmp_path}/made", cwd=tmp_path, env=env)
    assert "Permission denied" in done.stderr
    assert not (tmp_path / "made").exists()
