"""If the runtime is root and an app has a user, root neither runs nor follows anything of the
app's."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.apps.app import App
from buntime.core.apps.manifest import parse_manifest
from buntime.core.errors import ManifestError
from buntime.server.pythons.identity import Identity, resolve, run_as
from buntime.server.pythons.users import Users
from tests.server.pythons.test_installer import wheel_in, write_lock
from tests.support.client import SHARED, fetch
from tests.support.confined import drop_in, with_only
from tests.support.deploying import Operator, packed
from tests.support.fence import KERNEL
from tests.support.harness import command, running, write_app
from tests.support.wheels import make_source

NOBODY = pwd.getpwnam("nobody")
OTHER_UID = 12345
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""
PAGE = "from buntime import Response\ndef fetch(request):\n    return Response(str(VALUE))\n"
UID = "import os\nVALUE = os.getuid()\n" + PAGE

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user"),
    pytest.mark.skipif(not SYSTEM_PYTHON, reason="there is no Python that every user can read"),
]


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can enter; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(prefix="buntime-untrusted-"))
    folder.chmod(0o755)
    (folder / "apps").mkdir()
    trace = SHARED / f"{folder.name}-trace"  # what an app runs may write there from its sandbox
    trace.touch()
    trace.chmod(0o666)
    (folder / "trace").symlink_to(trace)
    yield folder
    for path in environments(folder):
        shutil.rmtree(path)
    shutil.rmtree(folder)
    trace.unlink()


def environments(public: Path) -> list[Path]:
    """The environments' folders of the apps below, which are named after the apps' folders. Those
    of others may be in use: tests of other files, and of other checkouts, run at the same time."""
    apps = [path for path in public.rglob("*") if path.is_dir()]
    ends = {hashlib.sha256(os.fsencode(app)).hexdigest()[:8] for app in apps}
    found = Path("/var/cache/buntime").glob("environments-*/shop[-@]*")
    return [path for path in found if path.name[-8:] in ends]


def traces(public: Path) -> set[int]:
    """The users who have run code that the app contains."""
    return set(map(int, (public / "trace").read_text().split()))


def make_venv(folder: Path) -> Path:
    """An app's own environment; returns its folder of packages."""
    command = [SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    [packages] = folder.glob("lib/python3*/site-packages")
    return packages


def served(public: Path, name: str = "shop", **env: str) -> bytes:
    env = {"RUNTIME_PYTHON": SYSTEM_PYTHON, **env}
    with running(public / "apps", env=env) as runtime:
        answer = fetch(runtime, f"/{name}/")
        assert answer.status == 200, answer.body
        return answer.body


def refusal(public: Path, name: str = "shop", **env: str) -> str:
    env = {"RUNTIME_PYTHON": SYSTEM_PYTHON, **env}
    with running(public / "apps", env=env) as runtime:
        assert fetch(runtime, f"/{name}/").status == 500
        return str(runtime.wait_for_record("app.start_failed")["error"])


# Interpreters


def test_an_interpreter_of_the_app(public: Path) -> None:
    """A program that an app contains as its Python is run only as the app's user, be it in the
    app's environment or named, for one request or more."""
    names = {f"{key}-{ttl}": (key, ttl) for key in ("venv", "python") for ttl in (0, 60)}
    for name, (key, ttl) in names.items():
        shop = public / "apps" / name
        program = ".venv/bin/python" if key == "venv" else "bin/mine"
        script = f'#!/bin/sh\necho {name} `id -u` >> {public}/trace\nexec {SYSTEM_PYTHON} "$@"\n'
        write_app(shop, {"app.py": UID, program: script}, user="nobody", ttl=ttl,
                  **({"python": f"./{program}"} if key == "python" else {}))  # fmt: skip
        (shop / program).chmod(0o755)
    with running(public / "apps", env={"RUNTIME_PYTHON": SYSTEM_PYTHON}) as runtime:
        told = {name: fetch(runtime, f"/{name}/").body for name in names}
    assert told == dict.fromkeys(names, str(NOBODY.pw_uid).encode())
    ran = {line.rstrip() for line in (public / "trace").read_text().splitlines()}
    assert ran == {f"{name} {NOBODY.pw_uid}" for name in names}


def test_a_pth_file(public: Path) -> None:
    """Code in a .pth file of the app's packages is run as the app's user."""
    shop = write_app(public / "apps/shop", {"app.py": UID}, user="nobody")
    trace = f"import os; open('{public}/trace', 'a').write(f'{{os.geteuid()}} ')"
    (make_venv(shop / ".venv") / "trace.pth").write_text(f"{trace}\n")
    assert served(public) == str(NOBODY.pw_uid).encode()
    assert traces(public) == {NOBODY.pw_uid}


def test_a_worker_that_starts_as_its_user(public: Path) -> None:
    """It is like any worker: its programs can write to its stderr, and nothing is left behind."""
    code = (
        "import os, subprocess\nfrom buntime import Response\n"
        "def fetch(request):\n"
        "    subprocess.run('echo told > /dev/stderr', shell=True)\n"
        "    status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "    return Response.json([os.getresuid(), os.getresgid(), os.getgroups(),\n"
        "        os.environ['HOME'], status['CapEff'].strip(), status['CapPrm'].strip()])\n"
    )
    write_app(public / "apps/shop", {"app.py": code}, user="nobody", ttl=60)
    make_venv(public / "apps/shop/.venv")
    with running(public / "apps") as runtime:
        told = fetch(runtime, "/shop/").json()
        runtime.wait_for_line("told", app="shop", stream="stderr")
    uids, gids, groups, home, *capabilities = told
    assert (uids, gids) == ([NOBODY.pw_uid] * 3, [NOBODY.pw_gid] * 3)
    assert sorted(groups) == sorted(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert home.endswith(f"/shop@{NOBODY.pw_uid}") if KERNEL.is_fit else home == NOBODY.pw_dir
    assert [int(each, 16) for each in capabilities] == [0, 0]


# Packages


BUILD = """
import os
with open(TRACE, "a") as trace:
    trace.write(f"{os.geteuid()} ")
"""
ENV = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
TINY = "from tiny import VALUE\n" + PAGE


def has_pip() -> bool:
    command = [SYSTEM_PYTHON, "-c", "import pip, venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_pip = pytest.mark.skipif(not SYSTEM_PYTHON or not has_pip(), reason="it has no pip")


def with_package(public: Path, **manifest: object) -> Path:
    files = {
        "app.py": TINY,
        "requirements.lock": "./pkg\n",
    }
    build = BUILD.replace("TRACE", repr(f"{public}/trace"))
    files |= {f"pkg/{name}": text for name, text in make_source(build).items()}
    return write_app(public / "apps/shop", files, user="nobody", autoInstall=True, **manifest)


def with_wheel(public: Path) -> Path:
    """The same with a package that needs no building."""
    shop = with_package(public)
    shutil.rmtree(shop / "pkg")
    write_lock(shop, wheel_in(shop / "wheels", "1.0", code="VALUE = 'tiny'\n"))
    return shop


def content(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@needs_pip
def test_a_package_that_is_built(public: Path) -> None:
    """Code that a package runs while it is built is run as the app's user, and outside of the
    app."""
    shop = with_package(public)
    before = content(shop)
    assert served(public, **ENV) == b"tiny"
    assert traces(public) == {NOBODY.pw_uid}
    assert content(shop) - before <= {"__pycache__"}
    [home] = environments(public)
    assert home.parent.name == f"environments-{NOBODY.pw_uid}"
    made = [home.parent, home, *home.iterdir()]
    assert {path.lstat().st_uid for path in made} == {NOBODY.pw_uid}
    assert (home / "app").readlink() == shop
    runs = (public / "trace").read_text()
    assert served(public, **ENV) == b"tiny"  # another runtime finds it there
    assert (public / "trace").read_text() == runs


@needs_pip
def test_links(public: Path) -> None:
    """Links in the place where an environment would be created are not followed."""
    names = (".venv.lock", ".venv", "install.log", ".venv-0123456789ab")
    shop = with_wheel(public)
    secret = public / "of-root"
    secret.mkdir(mode=0o700)
    for name in names:
        (secret / name).write_text(f"{name} as it was")
        (shop / name).symlink_to(secret / name)
    assert served(public, **ENV) == b"tiny"
    for name in names:
        (shop / name).unlink()
        (shop / name).symlink_to(secret / f"not-{name}")
    assert served(public, **ENV) == b"tiny"
    assert {path.name for path in secret.iterdir()} == {*names}
    assert all((secret / name).read_text() == f"{name} as it was" for name in names)


@needs_pip
def test_a_lock_file_that_leads_out(public: Path) -> None:
    """A lock file that links to what the user cannot read is neither read nor quoted."""
    shop = with_package(public)
    (public / "secret").write_text("a-secret-that-is-no-version\n")
    (public / "secret").chmod(0o600)
    (shop / "requirements.lock").unlink()
    (shop / "requirements.lock").symlink_to(public / "secret")
    message = refusal(public, **ENV)
    assert "Permission denied" in message
    assert "a-secret" not in message


@needs_pip
def test_with_the_rights_of_the_drop_in(public: Path) -> None:
    """The capabilities that the docs give a root runtime are enough for all of this."""
    shop = with_package(public, ttl=60)
    write_app(public / "apps/own", {"app.py": UID}, user="nobody")
    make_venv(public / "apps/own/.venv")
    write_app(public / "apps/plain", {"app.py": UID}, user="12345:23456")
    os.chown(shop, OTHER_UID, OTHER_UID)
    env = {"RUNTIME_PYTHON": SYSTEM_PYTHON, **ENV}
    start = with_only(drop_in(), command())
    with running(public / "apps", env=env, start=start) as runtime:
        told = [fetch(runtime, f"/{name}/").body for name in ("shop", "own", "plain")]
    assert told == [b"tiny", str(NOBODY.pw_uid).encode(), str(OTHER_UID).encode()]
    assert traces(public) == {NOBODY.pw_uid}


def test_nobody_can_signal_the_runtime_meanwhile() -> None:
    """For signals and tracing, a thread that acts as a user still belongs to root."""
    identity = resolve("nobody")
    attempt = (
        "import os, sys\n"
        "for pid in os.listdir(f'/proc/{sys.argv[1]}/task'):\n"
        "    try:\n        os.kill(int(pid), 0)\n        print('allowed')\n"
        "    except PermissionError:\n        print('refused')\n"
    )

    def work() -> str:
        with pytest.raises(PermissionError):
            Path("/etc/shadow").read_bytes()
        done = subprocess.run(
            [SYSTEM_PYTHON, "-c", attempt, str(os.getpid())],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            **identity.options(),
        )
        return done.stdout

    told = set(run_as(identity, work).split())
    assert told == {"refused"}
    assert Path("/etc/shadow").exists()
    Path("/etc/shadow").read_bytes()  # this thread is unchanged


def test_groups_of_a_user() -> None:
    """A thread that acts as a user has that user's groups and no others."""
    identity = Identity("mine", OTHER_UID, OTHER_UID, (OTHER_UID, 7), "/")
    before = os.getgroups()
    assert set(run_as(identity, os.getgroups)) == {OTHER_UID, 7}
    assert os.getgroups() == before


def test_a_manifest_that_leads_out(public: Path) -> None:
    """Root does not read a manifest that links to elsewhere, and quotes nothing of it."""
    shop = write_app(public / "apps/shop", {"app.py": UID, "..data/real.yaml": "user: nobody\n"})
    (public / "secret").write_text("a-secret: 1\n")
    (public / "secret").chmod(0o600)
    (shop / "buntime.yaml").symlink_to(public / "secret")
    with running(public / "apps", env={"RUNTIME_PYTHON": SYSTEM_PYTHON}) as runtime:
        answer = fetch(runtime, "/shop/")
        assert answer.status == 500
        assert "leads outside the app's folder" in str(runtime.records)
        (shop / "buntime.yaml").unlink()
        (shop / "buntime.yaml").symlink_to("..data/real.yaml")  # as Kubernetes mounts it
        assert fetch(runtime, "/shop/").body == str(NOBODY.pw_uid).encode()
        assert "a-secret" not in str(runtime.records)
    assert b"a-secret" not in answer.body


# Who may name a user


def app_in(folder: Path, *, name: str = "shop", user: str = "nobody") -> App:
    write_app(folder, {"app.py": UID}, user=user)
    source = folder / "buntime.yaml"
    manifest, _ = parse_manifest(source.read_bytes(), path="", body_default=1, body_max=1)
    return App(name, None, folder.resolve(), "app.py", manifest, source)


def verdict(app: App, **fixed: str) -> str:
    try:
        Users(fixed=fixed).find(app, SYSTEM_PYTHON or sys.executable, ())
    except ManifestError as exc:
        return str(exc).removeprefix(f"{app.source}: user: nobody ").partition(", and so")[0]
    return ""


def test_a_user_that_cannot_change_its_manifest(public: Path) -> None:
    """A manifest in a folder of root's, or of a third user's, counts."""
    app = app_in(public / "apps/shop")
    assert verdict(app) == ""
    for path in (app.dir, app.source, app.dir / "app.py"):
        os.chown(path, OTHER_UID, OTHER_UID)
    assert verdict(app) == ""


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"apps/shop/buntime.yaml": 0o666}, "apps/shop/buntime.yaml"),
        ({"apps/shop": 0o777}, "apps/shop"),
        ({"apps/shop": 0o1777}, "apps/shop"),
        ({"apps": 0o777}, "apps"),
        ({"apps": 0o1777}, "apps"),  # where it could add a newer version of the app
        ({"": 0o777}, ""),
    ],
)
def test_a_user_that_can(public: Path, changes: dict[str, int], where: str) -> None:
    """A user who could change the manifest, or replace it, is refused."""
    app = app_in(public / "apps/shop")
    for name, mode in changes.items():
        (public / name).chmod(mode)
    assert verdict(app) == f"can change {(public / where)}"


@pytest.mark.parametrize("where", ["apps/shop/buntime.yaml", "apps/shop", "apps", ""])
def test_a_user_that_owns_it(public: Path, where: str) -> None:
    """The owner of a folder or of the manifest can get write access, and so can a group's
    member."""
    app = app_in(public / "apps/shop")
    os.chown(public / where, NOBODY.pw_uid, -1)
    (public / where).chmod(0o555)
    assert verdict(app) == f"can change {public / where}"
    os.chown(public / where, 0, NOBODY.pw_gid)
    assert verdict(app) == ""
    (public / where).chmod(0o775)
    assert verdict(app) == f"can change {public / where}"


def test_by_way_of_links(public: Path) -> None:
    """Links count, and so do the folders that contain them and that they lead to."""
    for name in ("open", "closed", "deep"):
        (public / name).mkdir()
    app = app_in(public / "closed/shop")
    (public / "apps/shop").symlink_to("../open/link")
    (public / "open/link").symlink_to(public / "closed/shop")
    app = App("shop", None, app.dir, "app.py", app.manifest, public / "apps/shop/buntime.yaml")
    assert verdict(app) == ""
    (public / "open").chmod(0o777)
    assert verdict(app) == f"can change {public}/open"
    (public / "open").chmod(0o755)
    (public / "closed").chmod(0o777)
    assert verdict(app) == f"can change {public}/closed"


def test_versions_in_a_folder(public: Path) -> None:
    """The user must not be able to add a version in any folder above one."""
    app = app_in(public / "apps/@acme/wiki/1.0.0", name="@acme/wiki")
    assert verdict(app) == ""
    for name in ("apps/@acme/wiki", "apps/@acme", "apps"):
        (public / name).chmod(0o1777)
        assert verdict(app) == f"can change {public / name}"
        (public / name).chmod(0o755)


def test_a_user_that_is_fixed(public: Path) -> None:
    """A user named by the operator may be able to write the manifest, and no manifest changes
    him."""
    shop = write_app(public / "apps/shop", {"app.py": UID}, user="root")
    write_app(public / "apps/other", {"app.py": UID})
    os.chown(shop, NOBODY.pw_uid, NOBODY.pw_gid)
    env = {"RUNTIME_PYTHON": SYSTEM_PYTHON, "RUNTIME_APP_USERS": f"shop=nobody *={OTHER_UID}:7"}
    with running(public / "apps", env=env) as runtime:
        assert fetch(runtime, "/shop/").body == str(NOBODY.pw_uid).encode()
        assert fetch(runtime, "/other/").body == str(OTHER_UID).encode()


@needs_pip
def test_a_fixed_user_in_its_own_folder(public: Path) -> None:
    """Even if the user owns the app's folder, root does nothing in it."""
    shop = with_wheel(public)
    (public / "of-root").mkdir(mode=0o700)
    (shop / ".venv.lock").symlink_to(public / "of-root/made")
    for path in [shop, *shop.rglob("*")]:
        os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
    assert served(public, **ENV, RUNTIME_APP_USERS="*=nobody") == b"tiny"
    [home] = environments(public)
    assert {path.lstat().st_uid for path in home.iterdir()} == {NOBODY.pw_uid}
    assert list((public / "of-root").iterdir()) == []


@needs_pip
def test_a_deploy_tells_what_pip_says(public: Path) -> None:
    """A deploy reports what pip says, even if pip writes it elsewhere, as the app's user."""
    shop = with_wheel(public)
    files = {str(each.relative_to(shop)): each.read_bytes() for each in shop.rglob("*")
             if each.is_file() and not each.is_symlink()}  # fmt: skip
    shutil.rmtree(shop)
    env = {"RUNTIME_PYTHON": SYSTEM_PYTHON, **ENV, "RUNTIME_APP_USERS": "*=nobody"}
    with running(public / "apps", env=env) as runtime:
        operator = Operator(runtime)
        with operator.http:
            lines = operator.lines("shop", "1.0.0", packed(files))
            assert lines[-1]["step"] == "active", lines
            assert [each for each in lines if "tiny" in each.get("line", "")], lines
    [home] = environments(public)
    assert {path.lstat().st_uid for path in home.iterdir()} == {NOBODY.pw_uid}


def test_users_that_are_wrong(public: Path) -> None:
    """An invalid list of apps and users makes the start fail; an unknown user is reported with its
    position."""
    write_app(public / "apps/shop", {"app.py": UID})
    message = refusal(public, RUNTIME_APP_USERS="*=no-such-user")
    assert "RUNTIME_APP_USERS: there is no user no-such-user on this machine" in message
