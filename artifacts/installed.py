"""Installs the wheel into fresh environments, and does what its users do first.

The test suite does it once, without an index; `build.py installed` does it with each available
Python from 3.11 on, and with what pip fetches. It imports only the standard library, because it
also runs as a program in a bare Debian: `python3.14 installed.py WHEEL FOLDER`.
"""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_START_S, _STOP_S, _ANSWER_S = 30, 20, 30
_APP = """
import sys
from buntime import Form, Response, __version__

def fetch(request):
    return Response.json([__version__, sys.version_info[:2], list(request.query.items())])
"""


# Does what the test written by `buntime new` does, without pytest.
_TEST = """
from buntime.testing import Client

with Client("apps/shop") as client:
    print(client.get("/?name=Ada").text)
"""


class Faulty(Exception):
    """The wheel cannot be installed, or does not work as it should."""


def find_python(version: str) -> str | None:
    """A Python of this version, of the system or of pyenv."""
    found = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin:/bin")
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python3"))
    return found or (str(pyenv[-1]) if pyenv else None)


def install(python: str, source: Path, folder: Path) -> Path:
    """Install a wheel, an sdist or a checkout with all its dependencies into a new environment.

    Returns its folder of programs.
    """
    _run([python, "-m", "venv", str(folder)])
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "install", "--quiet", "--no-input", str(source)])
    _run([*pip, "check"])
    return folder / "bin"


def told_version(programs: Path) -> str:
    """The form that the command reports. Raises Faulty if that is not a wheel."""
    told = _run([str(programs / "buntime"), "--version"]).strip()
    if "(wheel, " not in told:
        raise Faulty(f"buntime --version says {told}")
    return told


def walk(programs: Path, folder: Path, others: Sequence[str] = ()) -> Iterator[str]:
    """Print the help, make an app, serve it, look at the panel; yields the steps done.

    `others` are interpreters that each serve an app. Raises Faulty.
    """
    buntime = str(programs / "buntime")
    folder.mkdir()
    if "Commands:" not in _run([buntime, "--help"], folder):
        raise Faulty("buntime --help tells of no commands")
    yield told_version(programs)
    _run([buntime, "new", "apps/shop"], folder)
    _run([buntime, "check", "apps"], folder)
    told = _run([str(programs / "python"), "-W", "error", "-c", _TEST], folder)
    yield f"a test asks it without a server: {told.strip()}"
    for number, python in enumerate(others):
        app = folder / f"apps/other{number}"
        app.mkdir()
        (app / "app.py").write_text(_APP)
        (app / "buntime.yaml").write_text(f"python: {python}\nttl: 1h\n")
    with _serving([buntime, "apps"], folder) as url:
        for path, part in (("/shop/", "Hello"), ("/cpanel/", "<title>"), ("/health", "")):
            if part not in _get(url + path):
                raise Faulty(f"{path} has no {part!r}: {_get(url + path)[:200]}")
        yield "its app and the panel answer"
        for number, python in enumerate(others):
            version = json.loads(_get(f"{url}/other{number}/?a=1"))
            yield f"an app with {python} has the SDK {version[0]}, Python {version[1]}"
    with _serving([buntime, "demo"], folder) as url:
        if "Hello" not in _get(f"{url}/hello/"):
            raise Faulty(f"/hello/ of the demo answers {_get(f'{url}/hello/')[:200]}")
    yield "the demo answers"
    _run([buntime, "run", "shop", "--dir", "apps", "--", "python", "-c", "import buntime"], folder)
    yield "a program of an app runs"


@contextmanager
def _serving(command: Sequence[str], folder: Path) -> Iterator[str]:
    """A runtime in the folder, by its URL."""
    words = [*command, "--port", "0", "--env", "development", "--log-format", "json"]
    with subprocess.Popen(
        words, cwd=folder, env=_environ(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield _url_of(process)
        finally:
            process.terminate()
            process.communicate(timeout=_STOP_S)
    if process.returncode:
        raise Faulty(f"the runtime ended with {process.returncode}")


def _url_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line.decode())
        record = json.loads(line) if line.startswith(b"{") else {}
        if record.get("event") == "runtime.listening":
            return str(record["url"])
    raise Faulty(f"the runtime does not listen: {''.join(told)}")


def _get(url: str) -> str:
    request = urllib.request.Request(url, headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
        return str(answer.read().decode())


def _run(words: Sequence[str], folder: Path | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=None if folder is None else _environ(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Faulty(f"{' '.join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def _environ(folder: Path) -> dict[str, str]:
    """Without settings of the current user, and with its own caches and state."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "XDG_CACHE_HOME": f"{folder}/cache", "RUNTIME_STATE_DIR": f"{folder}/state"}


def main(words: Sequence[str]) -> int:
    """Try the wheel with the Python that runs this, in a new folder; 1 if it is at fault."""
    wheel, folder = map(Path, words)
    folder.mkdir()
    try:
        for line in walk(install(sys.executable, wheel, folder / "venv"), folder / "here"):
            sys.stdout.write(f"{line}\n")
    except Faulty as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
