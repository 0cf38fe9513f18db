"""The command line: what it requests, what it serves with, and what its errors look like."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buntime import __version__
from buntime.commands import serve
from buntime.commands.arguments import Command, Parser, parse
from buntime.commands.cli import COMMANDS, main, parse_command
from buntime.core.errors import UsageError
from buntime.core.settings.load import SETTINGS, Settings

ROOT = Path(__file__).resolve().parents[2]


def command(line: str) -> Command:
    return parse_command(line.split())


def given_args(command: Command) -> dict[str, str]:
    folders = {"worker_dirs": ":".join(command.words)} if command.words else {}
    return {name: value for name, value in command.args.items() if value is not None} | folders


@pytest.mark.parametrize(
    ("line", "args"),
    [
        ("", {}),
        ("serve", {}),
        ("apps", {"worker_dirs": "apps"}),
        ("serve apps", {"worker_dirs": "apps"}),
        ("serve serve", {"worker_dirs": "serve"}),
        ("./serve", {"worker_dirs": "./serve"}),
        ("-- serve", {"worker_dirs": "serve"}),
        ("a b", {"worker_dirs": "a:b"}),
        ("a --port 1 b", {"worker_dirs": "a:b", "port": "1"}),
        ("--port 1 a b", {"worker_dirs": "a:b", "port": "1"}),
        ("--port 1 serve a", {"worker_dirs": "a", "port": "1"}),
        ("--port serve a", {"worker_dirs": "a", "port": "serve"}),
        ("--port=1 serve", {"port": "1"}),
        ("--port 1 --port 2", {"port": "2"}),
        ("--port -1", {"port": "-1"}),
        ("--listen a:1 x --listen=b:2,c:3", {"worker_dirs": "x", "listen": "a:1 b:2,c:3"}),
        ("a -- --port b", {"worker_dirs": "a:--port:b"}),
        ("a --env test --log-level=warn", {"worker_dirs": "a", "env": "test", "log_level": "warn"}),
    ],
)
def test_serve(line: str, args: dict[str, str]) -> None:
    """Without a command, `serve` is meant; folders and flags may be mixed."""
    asked = command(line)
    assert (asked.name, given_args(asked)) == ("serve", args)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("--help", "help"),
        ("-h", "help"),
        ("serve apps --help --port 1", "help"),
        ("--version", "version"),
        ("-V", "version"),
        ("demo --version", "version"),
    ],
)
def test_other_commands(line: str, name: str) -> None:
    """Flags ask for help and version, wherever they are on the line."""
    assert command(line) == Command(name)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--prot 1", "unknown flag '--prot'; did you mean --port? (see buntime --help)"),
        ("--colour", "unknown flag '--colour' (see buntime --help)"),
        ("-x", "unknown flag '-x' (see buntime --help)"),
        ("--por 1", "unknown flag '--por'; did you mean --port? (see buntime --help)"),
        ("--port", "argument --port: expected one argument (see buntime --help)"),
        (
            "deploy apps/shop --app",
            "argument --app: expected one argument (see buntime deploy --help)",
        ),
        ("logs shop --colour", "unknown flag '--colour' (see buntime logs --help)"),
        ("--port --env test", "argument --port: expected one argument (see buntime --help)"),
        (
            "--master-key=s3cret",
            "unknown flag '--master-key'; did you mean --master-key-file? (see buntime --help)",
        ),
    ],
)
def test_faulty_lines(line: str, message: str) -> None:
    """An unknown flag, or one without its value, is an error that points to the help."""
    with pytest.raises(UsageError) as caught:
        command(line)
    assert str(caught.value) == message


FLAGS = [each.flag for each in SETTINGS if each.flag]
WORDS = [*FLAGS, *(f"{flag}=x" for flag in FLAGS), *["x", "-1", "--", "-", "-h", "-V", "--colour"]]


@given(st.lists(st.sampled_from(WORDS) | st.just("x"), max_size=5))
def test_flags_that_are_declared_late(line: list[str]) -> None:
    """A line means the same, or has the same fault, whether all flags were declared before or only
    those in it."""

    def told(parser: Parser) -> Command | str:
        try:
            return parse("serve", parser, line)
        except UsageError as exc:
            return str(exc)

    whole = serve.parser()
    assert whole.flags()  # this declares them
    assert told(serve.parser()) == told(whole)


def test_every_flag() -> None:
    """Each setting's flag sets its field."""
    for setting in (each for each in SETTINGS if (each.flag or "").startswith("--")):
        assert given_args(command(f"{setting.flag} x")) == {setting.field: "x"}


WORDS = st.sampled_from(
    ["serve", "a", "--", "--port", "--port=1", "1", "-x", "-", "--help", "", "-1"]
)


@settings(deadline=None)
@given(st.lists(WORDS | st.text(max_size=5), max_size=6))
def test_any_words(argv: list[str]) -> None:
    """Any words give a command or a UsageError."""
    try:
        asked = parse_command(argv)
    except UsageError:
        return
    assert asked.name in {*COMMANDS, "help", "version"}


class Served:
    """Stands in for the runtime: keeps the settings that it was started with."""

    def __init__(self) -> None:
        self.settings: Settings | None = None

    def __call__(self, settings: Settings, read: Callable[[], Settings]) -> int:
        self.settings = settings
        self.read = read
        return 7


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """In an empty working folder with a folder `apps`, and without any of our variables."""
    (tmp_path / "apps").mkdir()
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.delenv("NODE_ENV", raising=False)
    return Served()


def run(served: serve.Serve, line: str) -> int:
    instead = {"serve": partial(serve.run, serve=served)}
    return main(line.split(), mode="checkout", instead=instead)


def test_it_serves(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags, environment and `.env` make the settings; the exit code is the server's."""
    (tmp_path / ".env").write_text("RUNTIME_POOL_SIZE=3\nPORT=1\n")
    monkeypatch.setenv("PORT", "2")
    assert run(served, "serve apps --env staging") == 7
    assert served.settings is not None
    assert served.settings.worker_dirs == (str(tmp_path / "apps"),)
    assert (served.settings.env, served.settings.port, served.settings.pool_size) == (
        "staging",
        2,
        3,
    )


def test_ephemeral_concurrency_follows_the_cores(served: Served) -> None:
    """The default counts the cores that this process may use."""
    run(served, "apps")
    assert served.settings is not None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert served.settings.ephemeral_concurrency == 2 * (cores or 1)


def test_a_folder_called_dotenv_is_no_file(served: Served, tmp_path: Path) -> None:
    """A virtual environment in a folder `.env` is not taken for settings."""
    (tmp_path / ".env").mkdir()
    assert run(served, "apps") == 7


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no folders of apps: name them (buntime DIR...), or set RUNTIME_WORKER_DIRS=DIR:DIR"),
        ("apps --port http", "PORT (from --port): 'http' is not allowed; write a whole number, "),
        ("apps nope", "the folder of apps {cwd}/nope cannot be read: No such file or directory"),
        ("file", "the folder of apps {cwd}/file cannot be read: Not a directory; name another"),
        ("--prot 1", "unknown flag '--prot'; did you mean --port?"),
        ("show plugin:audit", "plugin:audit is a plugin; see it with: buntime plugins show audit"),
        ("show shop@1.0.0", "shop@1.0.0 is a version; see all of the app: buntime show shop"),
        ("show @acme/shop@1", "@acme/shop@1 is a version; see all of the app: buntime show @acme/"),
    ],
)
def test_errors(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    """A wrong line ends with exit code 2 and one line on stderr that says what is wrong."""
    (tmp_path / "file").touch()
    assert run(served, line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("buntime: error: " + message.format(cwd=tmp_path))
    assert err.count("\n") == 1
    assert served.settings is None


def test_a_file_of_settings(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--env-file` replaces `.env`; later reads use the same file, and the file must exist."""
    (tmp_path / ".env").write_text("PORT=1\n")
    (tmp_path / "other.env").write_text("PORT=2\n")
    assert run(served, "apps --env-file other.env") == 7
    assert served.settings is not None
    assert (served.settings.port, served.settings.env_file) == (2, str(tmp_path / "other.env"))
    (tmp_path / "other.env").write_text("PORT=3\n")
    assert served.read().port == 3
    assert run(served, "apps --env-file missing.env") == 2
    expected = "buntime: error: RUNTIME_ENV_FILE: missing.env cannot be read: No such file"
    assert capsys.readouterr().err.startswith(expected)


def test_an_app_in_the_place_of_a_folder_of_apps(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Naming an app's own folder is an error that names the one above, unless it contains apps."""
    shop = tmp_path / "apps/shop"
    (shop / "static").mkdir(parents=True)
    (shop / "app.py").write_text("")
    assert run(served, "apps/shop") == 2
    above = tmp_path / "apps"
    told = "apps/shop is an app itself, not a folder of apps; name the folder that it is in, "
    assert f"{told}{above}," in capsys.readouterr().err
    assert run(served, "check apps/shop") == 2
    assert capsys.readouterr().err.endswith(f" check {above}\n")
    assert run(served, "apps") == 7
    (shop / "inner/1.0.0").mkdir(parents=True)
    (shop / "inner/1.0.0/index.html").write_text("")
    assert run(served, "apps/shop") == 7


def test_a_plugin_in_the_place_of_a_folder_of_apps(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Naming a plugin's folder is an error that says where plugins belong, and how to check it."""
    audit = tmp_path / "plugins/audit"
    audit.mkdir(parents=True)
    (audit / "buntime.yaml").write_text("name: audit\n")
    (audit / "plugin.py").write_text("")
    assert run(served, "plugins/audit") == 2
    told = capsys.readouterr().err
    above = tmp_path / "plugins"
    assert "plugins/audit is a plugin, not a folder of apps; name the folder" in told
    assert told.endswith(f"plugins check {above}\n")
    (audit / "buntime.yaml").write_text("ttl: 1h\n")
    assert run(served, "plugins/audit") == 2
    assert "is an app itself" in capsys.readouterr().err


def test_errors_of_dotenv(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A faulty `.env` is an error that names its line; one that cannot be read is an error too."""
    (tmp_path / ".env").write_text("A=1\nB\n")
    assert run(served, "apps") == 2
    assert capsys.readouterr().err.startswith("buntime: error: .env:2: not NAME=VALUE")
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").symlink_to(".env")  # root cannot read it either
    assert run(served, "apps") == 2
    assert capsys.readouterr().err.startswith("buntime: error: .env cannot be read: ")


def test_settings_of_a_pipe(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start may read its settings from a pipe; when they are read again, nobody waits for one."""
    reading, writing = os.pipe()
    os.write(writing, b"RUNTIME_POOL_SIZE=7\n")
    os.close(writing)
    with monkeypatch.context() as named:
        named.setenv("RUNTIME_ENV_FILE", f"/dev/fd/{reading}")
        assert run(served, "apps") == 7
    os.close(reading)
    assert served.settings is not None
    assert served.settings.pool_size == 7
    assert run(served, "apps") == 7
    assert served.read().pool_size != 7  # there is no .env
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(UsageError, match=r"\.env is not a regular file, so it is read at a start"):
        served.read()


def test_errors_of_the_server(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that the server finds at its start looks the same, on one line."""

    def refuse(_: Settings, read: Callable[[], Settings]) -> int:
        raise UsageError("port 80 is in use\n\x1b[31m")

    assert run(refuse, "apps") == 2
    assert capsys.readouterr().err == "buntime: error: port 80 is in use\\n\\x1b[31m\n"


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(served: Served, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    """The version says how Buntime was started and by which Python."""
    assert run(served, flag) == 0
    python = platform.python_version()
    assert capsys.readouterr().out == f"buntime {__version__} (checkout, Python {python})\n"


def test_help(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The help lists each setting with its flag, its variable and its default, in narrow lines."""
    assert run(served, "--help") == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    for setting in SETTINGS:
        assert (setting.flag or "") in words
        assert setting.variable in words
        assert setting.default in words
        assert setting.meaning.replace("`", "") in words
    assert max(map(len, out.splitlines())) <= 88
    assert out.startswith("usage: buntime [serve] [DIR...] ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_commands(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help describes each command, and each command has its own help."""
    assert main(["--help"], mode="checkout") == 0
    assert re.search(rf"^  {name} +\S", capsys.readouterr().out, re.MULTILINE)
    assert main([name, "--help"], mode="checkout") == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: buntime " + ("[serve]" if name == "serve" else name))
    assert max(map(len, out.splitlines())) <= 88


def test_start_up_imports() -> None:
    """The command line imports none of the slow modules."""
    slow = {"asyncio", "difflib", "email", "http.client", "pathlib", "shtab", "shutil", "yaml"}
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules);"
        "from buntime.commands.cli import main;"
        "main(['--help'], mode='checkout');"
        f"print({slow} & (set(sys.modules) - before))"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    assert result.stdout.splitlines()[-1] == b"set()"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("line", ["--version", "config show", "show shop --json", "data list"])
def test_output_that_cannot_be_written(line: str, unbuffered: str, tmp_path: Path) -> None:
    """On a full disk a command fails with one line, whether Python buffers its output or not."""
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "RUNTIME_STATE_DIR": str(tmp_path / "s")}
    words = [sys.executable, ROOT / "buntime.py", *line.split()]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            words,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=env,
            timeout=40,
            check=False,
        )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == "buntime: error: the output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


def test_a_stdout_that_is_closed(tmp_path: Path) -> None:
    """A command whose stdout leads nowhere does its work."""
    words = f'exec "{sys.executable}" "{ROOT / "buntime.py"}" new shop >&-'
    done = subprocess.run(
        ["sh", "-c", words], stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=40, check=True
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "shop/buntime.yaml").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("users set ann", "needs a flag that says what to change"),
        ("users set ann --disable --enable", "--disable and --enable cannot be combined"),
    ],
)
def test_changes_that_say_nothing(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A change of a user without a flag, or with two that contradict each other, is an error."""
    assert main(line.split(), mode="checkout") == 2
    assert said in capsys.readouterr().err
