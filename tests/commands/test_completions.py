"""Completions: each shell accepts them, and they match what the parsers know."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from buntime.commands.cli import COMMANDS, main, module_of
from buntime.core.settings.load import SETTINGS
from tests.support.harness import command, running, wait_until, write_app

EVERY_KIND = {
    *("fetch", "wsgi", "asgi", "static", "plugin"),
    *("flask", "fastapi", "starlette", "django", "dash", "streamlit"),
}
OFFERED = Path(__file__).with_name("offered.zsh")
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "TERM": "dumb"}


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completions", shell], mode="checkout") == 0
    return capsys.readouterr().out


NAMES = """#!/bin/sh
[ "$1" = --names ] || exit 1
case "$4 $5" in
    "plugins ") echo show; echo check; exit;;
    "plugins show") echo audit; exit;;
    "plugins check") exit;;
esac
case $2 in shop@*) echo shop@1.0.0; echo shop@1.2.0;; *) echo shop; echo @acme/site;; esac
"""


def with_names(folder: Path) -> dict[str, str]:
    """An environment in which `buntime --names` offers two apps."""
    program = folder / "bin/buntime"
    program.parent.mkdir()
    program.write_text(NAMES)
    program.chmod(0o755)
    return ENV | {"PATH": f"{program.parent}:{ENV['PATH']}"}


def bash_completes(text: str, *words: str, cwd: Path, env: dict[str, str] = ENV) -> set[str]:
    """What bash offers when Tab is pressed after the last of `words`."""
    line = (
        f'COMP_WORDS=("$@"); COMP_CWORD={len(words) - 1}; _shtab_buntime; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{text}\n{line}", "bash", *words],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """bash offers commands, the flags of the command, choices, shells, and folders."""
    text = script("bash", capsys)
    (tmp_path / "apps").mkdir()
    (tmp_path / "file").touch()

    env = with_names(tmp_path / "apps")

    def offered(*words: str) -> set[str]:
        return bash_completes(text, "buntime", *words, cwd=tmp_path, env=env)

    assert offered("") == {*COMMANDS, "apps"}
    assert offered("he") == {"health"}
    assert {"--port", "--help", "--env-file"} < offered("-")
    assert offered("new", "--") == {"--help", "--version", "--kind"}
    assert offered("--port", "1", "--log-f") == {
        "--log-format", "--log-file", "--log-file-size", "--log-file-count",
    }  # fmt: skip
    assert offered("new", "--kind", "") == EVERY_KIND
    assert offered("--log-format", "") == {"pretty", "json"}
    assert offered("completions", "") == {"bash", "zsh", "fish"}
    assert offered("--log-file", "") == {"apps", "file"}
    assert offered("--port", "") == set()
    assert offered("serve", "") == {"apps"}
    assert offered("recycle", "") == {"shop", "@acme/site"}
    assert offered("rollback", "sh") == {"shop"}
    assert offered("activate", "shop@1.2") == {"shop@1.2.0"}
    assert offered("plugins", "") == {"show", "check"}
    assert offered("plugins", "show", "") == {"audit"}
    assert offered("plugins", "check", "") == {"apps"}
    assert bash_completes(text, "buntime", "show", "", cwd=tmp_path) == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_all_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every flag of every command is completed, by its name as the shell writes it."""
    text = script(shell, capsys)
    for name in COMMANDS:
        assert name in text
        for flag in module_of(name).parser().flags():
            if flag.startswith("--"):
                assert (f"-l {flag[2:]}" if shell == "fish" else flag) in text
    assert [s.flag for s in SETTINGS if s.secret and s.flag and s.flag in text] == []


def needed(shell: str) -> str:
    """The shell's program; skips the test without it."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    return program


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_syntax(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """zsh and fish find no error in their scripts."""
    path = tmp_path / "script"
    path.write_text(script(shell, capsys))
    command = [needed(shell), "-n", str(path)]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


FISH = r"""
source $argv[1]
for line in $argv[2..]
    complete -C $line
    printf "\f"
end
"""


def fish_offers(
    script: Path, *lines: str, cwd: Path, env: dict[str, str]
) -> dict[str, dict[str, str]]:
    """What fish offers when Tab is pressed after each line: words, and what they mean."""
    done = subprocess.run(
        [needed("fish"), "--no-config", "-c", FISH, str(script), *lines],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return by_line(lines, done.stdout)


def zsh_offers(
    functions: Path, *lines: str, cwd: Path, env: dict[str, str]
) -> dict[str, dict[str, str]]:
    """The same of zsh; `functions` is the folder with the completion."""
    done = subprocess.run(
        [needed("zsh"), "-f", str(OFFERED), str(functions), *lines],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found = by_line(lines, done.stdout)
    return {
        line: {word: meaning.partition(" -- ")[2] for word, meaning in offers.items()}
        for line, offers in found.items()
    }


def by_line(lines: tuple[str, ...], text: str) -> dict[str, dict[str, str]]:
    """What was offered for each line: words, and what stands behind them."""
    *parts, rest = text.split("\f")
    assert rest.strip() == ""
    return {
        line: {
            word: meaning
            for word, _, meaning in (each.partition("\t") for each in part.split("\n") if each)
        }
        for line, part in zip(lines, parts, strict=True)
    }


def test_fish(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """fish offers commands, flags with their meaning, choices, files and folders."""
    needed("fish")
    path = tmp_path / "script"
    path.write_text(script("fish", capsys))
    (tmp_path / "apps").mkdir()
    env = with_names(tmp_path / "apps") | {"HOME": str(tmp_path)}
    expected = {
        "": {*COMMANDS, "apps/"},
        "new --kind ": EVERY_KIND,
        "completions ": {"bash", "zsh", "fish"},
        "--log-file ": {"apps/", "script"},
        "check ap": {"apps/"},
        "--port ": set(),
        "show ": {"shop", "@acme/site"},
        "show shop@": {"shop@1.0.0", "shop@1.2.0"},
        "plugins check ap": {"apps/"},
    }
    more = ("plugins ", "plugins show ", "--po", "check --po", "apps --po", "new --po")
    lines = (f"buntime {each}" for each in (*expected, *more))
    found = fish_offers(path, *lines, cwd=tmp_path, env=env)
    offered = {line.removeprefix("buntime "): offers for line, offers in found.items()}
    assert offered[""]["health"] == COMMANDS["health"]
    assert {line: {*offered[line]} for line in expected} == expected
    assert {"show", "check"} <= offered["plugins "].keys()
    assert "audit" in offered["plugins show "]
    assert offered["--po"]["--port"].startswith("port to listen on")
    assert "--port" in offered["check --po"]
    assert "--port" in offered["apps --po"]
    assert "--port" not in offered["new --po"]


def test_zsh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """zsh offers commands, flags with their meaning, choices, files and folders."""
    needed("zsh")
    functions, folder = tmp_path / "functions", tmp_path / "here"
    functions.mkdir()
    (functions / "_buntime").write_text(script("zsh", capsys))
    (folder / "apps").mkdir(parents=True)
    (folder / "file").touch()
    expected = {
        "": {*COMMANDS, "apps"},
        "new --kind ": EVERY_KIND,
        "completions ": {"bash", "zsh", "fish"},
        "--log-file ": {"apps", "file"},
        "check apps ": {"apps"},
        "install-service --fo": {"--force"},
        "--port ": set(),
        "show ": {"shop", "@acme/site"},
        "activate shop@1.2": {"shop@1.2.0"},
        "plugins sh": {"show"},
        "plugins show ": {"audit"},
        "plugins check ": {"apps"},
    }
    kinds = "fetch: a function, wsgi, asgi: frameworks, static: a site; flask, ..."
    port = {"--port": "port to listen on; 0 takes a free one"}
    meanings = {
        "he": {"health": COMMANDS["health"]},
        "new --k": {"--kind": kinds},
        "--por": port,
        "serve --por": port,
        "apps --por": port,
        "new --por": {},
    }
    lines = [f"buntime {each}" for each in (*expected, *meanings)]
    found = zsh_offers(functions, *lines, cwd=folder, env=with_names(folder / "apps"))
    offered = {line.removeprefix("buntime "): offers for line, offers in found.items()}
    assert {line: {*offered[line]} for line in expected} == expected
    assert {line: offered[line] for line in meanings} == meanings


def test_names_of_a_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each installed shell offers what the program says: apps of the running runtime, or their
    versions."""
    for name in ("shop/1.0.0", "shop/1.2.0", "@acme/site"):
        write_app(tmp_path / "apps" / name, {"index.html": ""})
    here, state = tmp_path / "here", tmp_path / "state"
    for shell, place in (("bash", "bash"), ("fish", "fish"), ("zsh", "zsh/_buntime")):
        (here / place).parent.mkdir(parents=True, exist_ok=True)
        (here / place).write_text(script(shell, capsys))
    program = tmp_path / "bin/buntime"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    program.chmod(0o755)
    env = {**ENV, "HOME": str(tmp_path), "RUNTIME_STATE_DIR": str(state)}
    env["PATH"] = f"{program.parent}:{ENV['PATH']}"
    with running(tmp_path / "apps", env={"RUNTIME_STATE_DIR": str(state)}):
        # A busy runtime may not answer in time, and then nothing is offered.
        for line, words in (
            ("buntime rollback sh", {"shop"}),
            ("buntime activate shop@1.2", {"shop@1.2.0"}),
        ):
            wait_until(lambda line=line, words=words: in_bash(here, line, env) == words)
        line, words = "buntime show ", {"shop", "@acme/site"}
        if shutil.which("fish"):
            wait_until(lambda: in_fish(here, line, env) == words)
        if shutil.which("zsh"):
            wait_until(lambda: in_zsh(here, line, env) == words)


def in_bash(here: Path, line: str, env: dict[str, str]) -> set[str]:
    return bash_completes((here / "bash").read_text(), *line.split(" "), cwd=here, env=env)


def in_fish(here: Path, line: str, env: dict[str, str]) -> set[str]:
    return {*fish_offers(here / "fish", line, cwd=here, env=env)[line]}


def in_zsh(here: Path, line: str, env: dict[str, str]) -> set[str]:
    return {*zsh_offers(here / "zsh", line, cwd=here, env=env)[line]}


def test_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown shell is an error that names the known ones."""
    assert main(["completions", "tcsh"], mode="checkout") == 2
    assert "no completions for 'tcsh'; there are bash, zsh, fish" in capsys.readouterr().err
    assert main(["completions"], mode="checkout") == 2
