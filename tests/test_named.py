"""No page names a command, path, variable, route, event, metric or task that does not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import build
from artifacts.tutorial import REPOSITORY
from buntime.commands.cli import COMMANDS, parse_command
from buntime.core.admin.routes import ROUTES
from buntime.core.errors import UsageError
from buntime.core.settings.load import SETTINGS
from buntime.core.telemetry.metrics import FAMILIES
from tests.test_docs import LOGGING_DOC, rows
from tests.test_pages import PAGES, ROOT

DOCS = [page for page in PAGES if page.parent in (ROOT, ROOT / "docs")]
NOW = [page for page in DOCS if page.name != "CHANGELOG.md"]  # which also names what was removed
each_page = pytest.mark.parametrize("page", NOW, ids=lambda page: page.name)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Folders at the top; `core/` and `server/` are those in buntime/.
_TREE = re.compile(
    r"((?:buntime|core|server|worker|sdk|tests|docs|bench|artifacts|deploy|requirements|\.github)/"
    r"[\w./-]*)"
)


def code() -> str:
    """All text that may define a variable: the code, and what is deployed with it."""
    folders = ("buntime", "artifacts", "bench", "plugins", "deploy", "tests", ".ci")
    files = [ROOT / "build.py", ROOT / "buntime.py"]
    for folder in folders:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = (".py", ".sh", ".yaml", ".service", ".js", ".env", "")
    kept = [
        f for f in files if f.suffix in wanted and ".venv" not in str(f) and "/__" not in str(f)
    ]
    return "\n".join(path.read_text("utf-8", "replace") for path in kept)


@pytest.fixture(scope="module")
def names() -> set[str]:
    return set(re.findall(r"\b(?:RUNTIME|BUNTIME|BUILD|APP)_[A-Z_]+\b", code()))


@each_page
def test_variables(page: Path, names: set[str]) -> None:
    """A variable is a setting, or the code knows it."""
    known = names | {setting.variable for setting in SETTINGS}
    told = re.findall(r"\b(?:RUNTIME|BUNTIME|BUILD|APP)_[A-Z_]*[A-Z]\b(?![_*])", page.read_text())
    assert sorted({name for name in told if name not in known}) == []


def commands(text: str) -> list[list[str]]:
    """The words after each `buntime` that begins a line in a page's code blocks."""
    found = []
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(
                r"^(?:\$ |sudo (?:-u \w+ )?|[A-Z_]+=(?:\S*\"[^\"]*\"|\$\([^)]*\)|\S*) )+", "", line
            )
            if not re.match(r"(?:\./)?buntime ", line):
                continue
            line = re.split(r" (?:[<>|&]|2>&1|&&)(?: |$)", line)[0].replace("…", "x")
            words = shlex.split(line, comments=True)[1:]
            found.append(words)
    return found


@each_page
def test_commands(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line accepts each command in a code block of a page."""
    monkeypatch.chdir(tmp_path)
    refused = []
    for words in commands(page.read_text("utf-8")):
        if words[:1] in (["--version"], ["--help"]) or "--help" in words:
            continue
        try:
            parse_command(words)
        except (UsageError, SystemExit) as error:
            refused.append(f"{shlex.join(words)}: {error}")
    assert refused == []


@each_page
def test_other_shells(page: Path) -> None:
    """No word of a command is a pattern that zsh refuses where it matches no file."""
    patterns = []
    for block in _BLOCK.findall(page.read_text("utf-8")):
        typed = re.sub(r"<<'?(\w+)'?.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE)
        typed = re.sub(r"\\.|'[^']*'|\"[^\"]*\"", "", typed)
        lines = typed.splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line for line in lines if line.startswith("$ ")]
        words = " ".join(re.sub(r"(^| )#.*", "", line) for line in lines).split()
        patterns += [word for word in words if re.search(r"[?*[]", word) and "dist/" not in word]
    assert patterns == []


@each_page
def test_inline_commands(page: Path) -> None:
    """`buntime WORD` in a sentence is a command, a folder or a config file."""
    told = [
        re.match(r"buntime ([a-z][a-z-]+)(?: |$)", each)
        for each in _INLINE.findall(page.read_text())
    ]
    words = {match[1] for match in told if match}
    assert words - COMMANDS.keys() - {"apps", "command"} == set()


@each_page
def test_addresses(page: Path) -> None:
    """The repository's address is not written down, as it is not known; no index has Buntime."""
    text = page.read_text("utf-8")
    assert set(re.findall(r"\bgit clone .+", text)) <= {
        f"git clone {REPOSITORY} buntime && cd buntime"
    }
    assert "github.com/buntime" not in text
    assert re.findall(r"\bpipx? install (?:[^\n`]* )?buntime\b", text) == []


@each_page
def test_environments(page: Path) -> None:
    """Commands install only into an environment: Debian's own Python refuses anything else."""
    lines = "\n".join(_BLOCK.findall(page.read_text("utf-8"))).splitlines()
    installs = [line for line in lines if re.search(r"\bpip3? install\b", line)]
    assert [line for line in installs if not re.search(r"/bin/pip |--target", line)] == []


@each_page
def test_tasks(page: Path) -> None:
    """Each named task of build.py exists."""
    told = set(re.findall(r"build\.py ([a-z]+)", page.read_text("utf-8")))
    assert told - build.TASKS.keys() == set()


def test_all_tasks() -> None:
    """CONTRIBUTING.md has each task of build.py."""
    told = set(
        re.findall(r"^\| `python3 build\.py ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    )
    assert told == build.TASKS.keys()


@each_page
def test_paths(page: Path) -> None:
    """A path in this repository exists."""
    missing = []
    for text in _INLINE.findall(page.read_text("utf-8")):
        match = _TREE.fullmatch(text.removesuffix("*"))
        if match is None or page.name == "apps.md":
            continue
        places = [ROOT / match[1], ROOT / "buntime" / match[1]]
        if not any(p.exists() or p.with_suffix(".py").exists() for p in places):
            missing.append(text)
    assert missing == []


@each_page
def test_routes(page: Path) -> None:
    """A method and path of the API are in the table of routes."""
    told = re.findall(r"\b(GET|PUT|POST|DELETE|PATCH) (/api/[\w{}/.@-]+)", page.read_text("utf-8"))
    patterns = [
        (r.method, re.compile(re.sub(r"\\\{\w+\\\}", r"[^/]+(?:/[^/]+)?", re.escape(r.path))))
        for r in ROUTES.routes
    ]
    lost = [
        f"{method} {path}"
        for method, path in told
        if not any(m == method and p.fullmatch(path.rstrip(".")) for m, p in patterns)
    ]
    assert lost == []


@each_page
def test_metrics(page: Path) -> None:
    """A metric is in the table."""
    told = set(re.findall(r"(?<!\$)\bbuntime_[a-z_]+\b", page.read_text("utf-8")))
    known = {family.name for family in FAMILIES}
    known |= {f"{name}_{end}" for name in known for end in ("bucket", "count", "sum", "total")}
    assert told - known - {"buntime_info"} == set()  # an Info of prometheus_client


@each_page
def test_events(page: Path) -> None:
    """A log code in parentheses after a sentence is in the table."""
    section = LOGGING_DOC.partition("## Events")[2].partition("\n## ")[0]
    known = {row[0].strip("`") for row in rows(section)[1:]}
    told = set(re.findall(r"\(`([a-z]+\.[a-z_]+)`[),]", page.read_text("utf-8")))
    files = {each for each in told if Path(each).suffix in (".md", ".py", ".js", ".key")}
    assert told - files - known == set()
