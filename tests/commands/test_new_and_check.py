"""`buntime new` writes apps that work as they are, and `buntime check` reports faulty ones."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest

from buntime.commands import new
from buntime.commands.arguments import parse
from buntime.commands.firstapps import KINDS
from buntime.commands.firstfiles import MANIFEST
from buntime.commands.firstframeworks import FRAMEWORKS
from buntime.core.apps.manifest import parse_manifest
from tests.support.harness import PACKAGES, command, is_alive, running, wait_until, write_app
from tests.support.pytestruns import complete
from tests.support.recipes import recipes
from tests.support.runs import environ, run

ANSWERS = {
    "fetch": "<h1>Hello, Ada&lt;!</h1>\n",
    "wsgi": "Hello from /wsgi/\n",
    "asgi": "Hello from /asgi/\n",
    "static": "<h1>Hello, world!</h1>",
}
FETCH = "def fetch(request): ...\n"
PROGRAM = shlex.join(command())
_STARTS = ("Serve it:", "Run it:")
# These tests do not install the packages of these kinds.
DRIVEN_ELSEWHERE = ("dash", "streamlit")


def test_first_apps(tmp_path: Path) -> None:
    """Each kind is written, its URL is printed, and it passes the check and answers."""
    for kind in KINDS:
        done = run("new", f"apps/{kind}", "--kind", kind, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Serve it:   {PROGRAM} apps\n" in done.stdout
        assert f"Look at it: http://localhost:8000/{kind}/\n" in done.stdout
        assert f" pytest apps/{kind}     in an environment with " in done.stdout
        assert "with buntime and pytest\n" in done.stdout
    done = run("check", "apps", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == [
        "asgi: ok", "fetch: ok", "static: ok", "wsgi: ok", "4 apps, none at fault",
    ]  # fmt: skip
    with running(tmp_path / "apps") as runtime:
        for kind, text in ANSWERS.items():
            answer = httpx.get(f"{runtime.url}/{kind}/?name=Ada<", timeout=30, verify=False)
            assert (answer.status_code, text in answer.text) == (200, True)


def test_first_apps_of_frameworks(tmp_path: Path) -> None:
    """Each is written, with advice on its packages, and serves with links below its base."""
    for kind in FRAMEWORKS:
        done = run("new", f"apps/{kind}", "--kind", kind, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        venv = f"apps/{kind}/.venv"
        assert f"python3 -m venv {venv} && {venv}/bin/pip install {kind}\n" in done.stdout
        assert (f"pytest and {kind}\n" in done.stdout) == (kind not in DRIVEN_ELSEWHERE)
    for kind in DRIVEN_ELSEWHERE:
        shutil.rmtree(tmp_path / f"apps/{kind}")
    with running(tmp_path / "apps", env=PACKAGES) as runtime:
        for kind in FRAMEWORKS.keys() - DRIVEN_ELSEWHERE:
            home = httpx.get(f"{runtime.url}/{kind}/", timeout=30, verify=False)
            assert home.status_code == 200
            assert "hello" in home.text.lower()
            if "href" in home.text:
                assert f"/{kind}/hello/Ada" in home.text
            greeted = httpx.get(f"{runtime.url}/{kind}/hello/A<b", timeout=30, verify=False)
            assert (greeted.status_code, "A" in greeted.text) == (200, True)
            assert "<b" not in greeted.text or "json" in greeted.headers["content-type"]


def test_their_tests(tmp_path: Path) -> None:
    """The tests written with the apps pass, also those of a plugin, and all at once."""
    for kind in (*KINDS, *FRAMEWORKS, "plugin"):
        run("new", f"apps/my-{kind}", "--kind", kind, cwd=tmp_path)
    done = complete("pytest", ["-q", "-p", "no:cacheprovider", "apps"], tmp_path)
    count = len(KINDS) + len(FRAMEWORKS) + 1 - len(DRIVEN_ELSEWHERE)
    assert (done.returncode, f"{count} passed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize("kind", [*KINDS, *FRAMEWORKS])
def test_comments_of_a_first_manifest(tmp_path: Path, kind: str) -> None:
    """Removing each # does what the comment says: the whole manifest is valid."""
    run("new", "shop", "--kind", kind, cwd=tmp_path)
    text = (tmp_path / "shop" / MANIFEST).read_text()
    keys = re.findall(r"^# ((?:[a-zA-Z]+:|  [A-Z]).*)$", text, re.M)
    active = [line for line in text.splitlines() if line and line[0] != "#"]
    whole = "\n".join([*active, *keys]).encode()
    manifest, warnings = parse_manifest(whole, path=MANIFEST, body_default=1, body_max=1)
    assert (len(keys) >= 3, warnings) == (True, ())
    assert manifest.visibility == "protected"


@pytest.mark.parametrize("kind", DRIVEN_ELSEWHERE)
def test_first_apps_as_recipes_tell(kind: str) -> None:
    """Kinds with large packages are the recipes' apps, which are tested with their packages."""
    recipe = recipes()[kind].files
    assert FRAMEWORKS[kind].keys() == recipe.keys()
    for file, text in recipe.items():
        written = FRAMEWORKS[kind][file]
        lines = [line for line in written.splitlines() if not line.startswith(('"""', "#"))]
        assert "\n".join(lines).strip() == text.strip()


@pytest.mark.parametrize("kind", ["fetch", "plugin"])
def test_an_author_wants_changes_served(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a start is in production mode, the line to type says development."""
    given = parse("new", new.parser(), [str(tmp_path / "all/first"), "--kind", kind])
    assert new.run(given, "wheel") == 0
    [line] = [each for each in capsys.readouterr().out.splitlines() if each.startswith(_STARTS)]
    assert "--env development" in line


@pytest.mark.parametrize("name", ["counter", "@acme/counter"])
def test_a_first_plugin(tmp_path: Path, name: str) -> None:
    """A new plugin passes the check, and serves its hooks and its page."""
    done = run("new", f"plugins/{name}", "--kind", "plugin", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        f"Check it:   {PROGRAM} plugins check plugins\n",
        f"Run it:     {PROGRAM} apps --plugin-dirs plugins     with",
        "Look at it: http://localhost:8000/counter/\n",
    ):
        assert line in done.stdout
    done = run("plugins", "check", "plugins", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{name} 0.1.0: ok\n1 plugin, none at fault\n"
    run("new", "apps/shop", cwd=tmp_path)
    env = {"RUNTIME_PLUGIN_DIRS": f"{tmp_path}/plugins", "RUNTIME_STATE_DIR": f"{tmp_path}/s"}
    with running(tmp_path / "apps", env=env) as runtime:
        runtime.wait_for_record("plugin.serving", plugin=name)
        assert (
            httpx.get(f"{runtime.url}/shop/", timeout=30, verify=False).headers["x-counted-by"]
            == name
        )
        assert httpx.get(f"{runtime.url}/counter/", timeout=30, verify=False).json() == {"shop": 1}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """What already exists stays as it is, be it a folder or a file."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/index.py").write_text("mine")
    (tmp_path / "blog").write_text("mine too")
    for name in ("shop", "blog"):
        done = run("new", name, cwd=tmp_path)
        assert done.returncode == 2
        expected = f"buntime: error: {name} already exists; choose another name, or remove it\n"
        assert done.stderr == expected
    assert (tmp_path / "shop/index.py").read_text() == "mine"
    assert (tmp_path / "blog").read_text() == "mine too"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "new needs the name of one app"),
        (["a", "b"], "new needs the name of one app"),
        (["a b"], "'a b' is not an app name"),
        ([".."], "'..' is not an app name"),
        (["health"], "/health is the runtime's own path; choose another name"),
        (["keyval"], "/keyval is the path of the plugin keyval, which comes with Buntime"),
        (["api@1.0.0"], "/api is the runtime's own path; choose another name"),
        (["shop@x"], "'x' is not a version"),
        (["audit@1.0.0", "--kind", "plugin"], "a plugin's version is in its manifest"),
        (["plugins/api", "--kind", "plugin"], "/api is the runtime's own path"),
        (["shop", "--kind", "cgi"], "argument --kind: 'cgi' is not one of fetch, "),
    ],
)
def test_names(tmp_path: Path, words: list[str], told: str) -> None:
    """A name that no request could contain is refused, and nothing is written."""
    done = run("new", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_versions_and_scopes(tmp_path: Path) -> None:
    """The name may contain a version and a scope; what is printed matches them."""
    done = run("new", "apps/@acme/shop@1.2.0", cwd=tmp_path)
    assert f"Serve it:   {PROGRAM} apps\n" in done.stdout
    assert "http://localhost:8000/@acme/shop@1.2.0/\n" in done.stdout
    assert run("check", "apps", cwd=tmp_path).stdout.startswith("@acme/shop@1.2.0: ok")


def test_faults(tmp_path: Path) -> None:
    """Each fault is reported with its app, and with the stack if code is at fault; exit code 1.
    What an app prints goes to stderr, and healthy apps are reported too."""
    apps = tmp_path / "apps"
    write_app(apps / "a-import", {"app.py": "import surely_not_there\n"})
    write_app(apps / "b-manifest", {"app.py": ""}, ttl="soon")
    write_app(apps / "c-nothing", {"app.py": "print('loud')\nprint('words')\n"})
    write_app(apps / "d-entrypoint", {"x.txt": ""}, entrypoint="x.py")
    write_app(apps / "e-python", {"app.py": ""}, python="/nowhere/python3")
    write_app(apps / "f-dies", {"app.py": "import os; os._exit(3)\n"})
    write_app(apps / "g-killed", {"app.py": "import os; os.kill(os.getpid(), 9)\n"})
    write_app(apps / "h-warm", {"app.py": "def fetch(r): ...\n"}, ttl=60, prewarm=2)
    write_app(apps / "i-sleeps", {"app.py": "import time; time.sleep(60)\n"})
    done = run("check", "apps", "--boot-timeout", "1s", cwd=tmp_path)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    for line, told in zip(
        lines,
        [
            "a-import: FAULT: app.py: ModuleNotFoundError: No module named 'surely_not_there'",
            "b-manifest: FAULT: ", "c-nothing: FAULT: ", "d-entrypoint: FAULT: ",
            "e-python: FAULT: ", "f-dies: FAULT: the worker died while it loaded: exit code 3",
            "g-killed: FAULT: the worker died while it loaded: killed by SIGKILL",
            "h-warm: ok (Python ", "i-sleeps: FAULT: the app did not load in 1 s",
            "9 apps, 8 at fault",
        ],
        strict=True,
    ):  # fmt: skip
        assert line.startswith(told)
    assert "\n        import surely_not_there\n" in done.stdout
    assert "loud" not in done.stdout


def test_an_app_of_the_config_file_that_is_not_there(tmp_path: Path) -> None:
    """A name in the config file that is close to an app's is warned about by `check`, `doctor`
    and `config check`, and is no fault: what it says would be without effect."""
    write_app(tmp_path / "apps/shop", {"index.html": "<p>"})
    (tmp_path / "buntime.config.yaml").write_text("apps: {shpo: {visibility: protected}}\n")
    text = f"{tmp_path}/buntime.config.yaml:1: apps: there is no app shpo in these folders; did "
    done = run("check", "apps", cwd=tmp_path)
    assert done.returncode == 0
    assert f"WARNING: {text}you mean shop?\n" in done.stderr
    assert f"config file WARNING: {text}" in run("doctor", "apps", cwd=tmp_path).stdout
    done = run("config", "check", cwd=tmp_path, env={"RUNTIME_WORKER_DIRS": "apps"})
    assert (done.returncode, done.stdout.count(f"WARNING: {text}")) == (0, 1)


def test_plugins_are_no_apps(tmp_path: Path) -> None:
    """A plugin among apps is told by what it is, with the command that checks plugins."""
    run("new", "plugins/counter", "--kind", "plugin", cwd=tmp_path)
    done = run("check", "plugins", cwd=tmp_path)
    assert done.stdout == (
        "counter: FAULT: it is a plugin, not an app: it belongs into a folder of "
        f"RUNTIME_PLUGIN_DIRS\n    run: {PROGRAM} plugins check plugins\n1 app, 1 at fault\n"
    )


def test_no_apps(tmp_path: Path) -> None:
    """A folder without an app is an error: it is the wrong folder."""
    (tmp_path / "apps").mkdir()
    done = run("check", "apps", cwd=tmp_path)
    told = f"no apps in {tmp_path / 'apps'}\n    run: {PROGRAM} new apps/hello\n"
    assert (done.returncode, done.stdout) == (1, told)
    assert run("check", "nowhere", cwd=tmp_path).returncode == 2


def test_what_apps_print(tmp_path: Path) -> None:
    """What an app prints while it loads, and the runtime's warnings, go to stderr."""
    app = "import sys\nprint('careful', file=sys.stderr)\ndef fetch(request): ...\n"
    write_app(tmp_path / "apps/loud", {"app.py": app})
    (tmp_path / "apps/shop@one").mkdir()
    done = run("check", "apps", cwd=tmp_path)
    assert done.returncode == 0
    assert "careful" in done.stderr
    assert "its version must be like" in done.stderr
    assert done.stdout.count("\n") == 2


def test_output_of_several_apps(tmp_path: Path) -> None:
    """Apps load side by side; each one's output is below its own line, in the order of the apps."""
    code = """
import sys, time
for number in range(20):
    print({0!r}, number, file={1})
    time.sleep(0.002)
def fetch(request): ...
"""
    for name in "abc":
        stream = "sys.stdout" if name == "b" else "sys.stderr"
        write_app(tmp_path / f"apps/{name}", {"app.py": code.format(name * 3, stream)})
    done = run("check", "apps", cwd=tmp_path, stderr=subprocess.STDOUT)
    # The runtime may print warnings between them, such as about a busy machine.
    ours = re.compile(r": ok \(|\b(aaa|bbb|ccc) \d|none at fault")
    told = [line for line in done.stdout.splitlines() if ours.search(line)]
    assert len(told) == 64
    for place, name in enumerate("abc"):
        own = told[place * 21 : place * 21 + 21]
        assert own[0].startswith(f"{name}: ok (")
        assert all(f"{name * 3} {number}" in line for number, line in enumerate(own[1:]))
    assert told[-1] == "3 apps, none at fault"


def test_an_app_that_prints_without_end(tmp_path: Path) -> None:
    """Only a part of its output is shown, and the last line says that some was dropped."""
    code = "print(('x' * 999 + chr(10)) * 2000)\ndef fetch(request): ...\n"
    write_app(tmp_path / "apps/loud", {"app.py": code})
    done = run("check", "apps", cwd=tmp_path)
    assert done.returncode == 0
    assert 200_000 < len(done.stderr) < 400_000
    assert "some of it was dropped" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt(tmp_path: Path, number: int) -> None:
    """No process that was started survives it, the results so far are printed, and the exit code is
    that of a shell."""
    code = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("pids.new", "w") as pids:
    print(os.getpid(), child.pid, file=pids)
os.rename("pids.new", "pids")
time.sleep(60)
"""
    folder = write_app(tmp_path / "apps/hangs", {"app.py": code})
    write_app(tmp_path / "apps/a-site", {"index.html": ""})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [*command(), "check", "apps"],
        cwd=tmp_path,
        env=environ({"TMPDIR": str(temporary)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((folder / "pids").exists, timeout_s=20.0)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20.0)
    assert process.returncode == 128 + number
    assert stdout == "a-site: ok (static, publishes 1 file)\n"
    assert "Traceback" not in stderr
    for pid in (folder / "pids").read_text().split():
        wait_until(partial(_has_gone, int(pid)), timeout_s=5.0)
    assert list(temporary.iterdir()) == []


def test_what_a_site_publishes(tmp_path: Path) -> None:
    """A site's files are counted, doubtful ones warned about, a page beside a program refused."""
    site = write_app(tmp_path / "apps/site", {"index.html": "", "a.js": "", "users.db": ""})
    done = run("check", "apps", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "site: ok (static, publishes 3 files)",
            "site: WARNING: anybody can read users.db; move it out of the site",
            "    run: mv apps/site/users.db apps/",
            "1 app, none at fault",
        ],
    )
    write_app(site, {"app.py": ""})
    done = run("check", "apps", cwd=tmp_path)
    assert done.returncode == 1
    assert "site: FAULT: " in done.stdout
    assert "both index.html and app.py are here" in done.stdout


def test_a_site_that_was_built_for_another_place(tmp_path: Path) -> None:
    """Links that leave the app's base give a warning, unless the app has its own host."""
    page = '<script type="module" src="/assets/index-4sK3.js"></script>'
    write_app(tmp_path / "apps/site", {"index.html": page})
    write_app(tmp_path / "apps/hosted", {"index.html": page}, hosts=["site.example.com"])
    done = run("check", "apps", cwd=tmp_path)
    assert done.returncode == 0
    (warning,) = [line for line in done.stdout.splitlines() if "WARNING" in line]
    assert warning.startswith("site: WARNING: the page asks for /assets/index-4sK3.js, which is")


def test_a_service_that_nobody_offers(tmp_path: Path) -> None:
    """A service that no plugin offers gives a warning with the likely name."""
    write_app(tmp_path / "apps/shop", {"app.py": "def fetch(request): ..."}, uses=["kv2"])
    write_app(tmp_path / "apps/well", {"app.py": "def fetch(request): ..."}, uses=["kv"])
    done = run("check", "apps", cwd=tmp_path)
    [warning] = [line for line in done.stdout.splitlines() if "WARNING" in line]
    assert warning.startswith("shop: WARNING: uses: no enabled plugin offers the service")
    assert "'kv2'; did you mean kv?; calls to it fail" in warning
    told = json.loads(run("check", "apps", "--json", cwd=tmp_path).stdout)["apps"]
    assert [len(each["services"]) for each in told] == [1, 0]


WRONG: Mapping[str, tuple[dict[str, str], dict[str, object], str]] = {
    "import": ({"app.py": "import nonesuch\n"}, {},
               "cd {apps}/import && python3 -m venv .venv && .venv/bin/pip install nonesuch"),
    "inner": ({"app.py": "import other\n", "other.py": "\ndef f(:\n"}, {},
              '"${{EDITOR:-vi}}" +2 apps/inner/other.py'),
    "manifest": ({"app.py": FETCH, "buntime.yaml": "\n\nttl: soon\n"}, {},
                 '"${{EDITOR:-vi}}" +3 apps/manifest/buntime.yaml'),
    "nothing": ({"notes.txt": ""}, {}, '"${{EDITOR:-vi}}" apps/nothing/buntime.yaml'),
    "python": ({"app.py": FETCH}, {"python": "/nowhere/python3"},
               '"${{EDITOR:-vi}}" apps/python/buntime.yaml'),
    "dies": ({"app.py": "import os; os._exit(3)\n"}, {}, '"${{EDITOR:-vi}}" apps/dies/app.py'),
    "late": ({"app.py": "import time; time.sleep(60)\n"}, {},
             "{program} check apps --boot-timeout 5m"),
    "secret": ({"app.py": FETCH}, {"secrets": ["KEY"]}, "{program} secrets set secret KEY"),
    "uses": ({"app.py": FETCH}, {"uses": ["kv2"]}, "{program} plugins list"),
    "people": ({"app.py": FETCH}, {"auth": "required"}, "{program} plugins enable authn"),
    "site": ({"index.html": "", "my files.db": ""}, {}, "mv 'apps/site/my files.db' apps/"),
    "built": ({"index.html": '<script src="/assets/x.js"></script>'}, {},
              "grep -nF /assets/x.js apps/built/index.html"),
}  # fmt: skip


def test_what_to_run(tmp_path: Path) -> None:
    """Each fault of an app ends with a line for a shell."""
    for name, (files, manifest, _) in WRONG.items():
        write_app(tmp_path / "apps" / name, files, **manifest)
    done = run("check", "apps", "--boot-timeout", "2s", "--json", cwd=tmp_path)
    told = {each["app"]: each["command"] for each in json.loads(done.stdout)["apps"]}
    places = {"apps": tmp_path / "apps", "program": PROGRAM}
    assert told == {name: line.format(**places) for name, (*_, line) in WRONG.items()}


def test_what_to_run_helps(tmp_path: Path) -> None:
    """Running a warning's line in a shell removes the warning."""
    write_app(tmp_path / "apps/site", {"index.html": "", "users.db": ""})
    lines = run("check", "apps", cwd=tmp_path).stdout.splitlines()
    [line] = [line.partition("run: ")[2] for line in lines if line.startswith("    run: ")]
    subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    assert "WARNING" not in run("check", "apps", cwd=tmp_path).stdout


def test_an_app_with_data(tmp_path: Path) -> None:
    """The app gets an empty data folder, removed after the check; its own data stays untouched."""
    code = """
import os, sys
data = os.environ["APP_DATA_DIR"]
assert os.listdir(data) == []
open(os.path.join(data, "made"), "w").close()
print(data, file=sys.stderr)
def fetch(request): ...
"""
    kept = tmp_path / "state/data/shop"
    kept.mkdir(parents=True)
    (kept / "kept").touch()
    write_app(tmp_path / "apps/shop", {"app.py": code}, data=True)
    done = run("check", "apps", "--state-dir", "state", cwd=tmp_path)
    assert done.stdout.startswith("shop: ok"), done.stdout
    [given] = [line for line in done.stderr.splitlines() if "/data/shop" in line]
    assert not Path(given[given.index("/") :].strip()).exists()
    assert [path.name for path in (tmp_path / "state").rglob("*")] == ["data", "shop", "kept"]


def _has_gone(pid: int) -> bool:
    return not is_alive(pid)
