"""Reads a unit of systemd, `shop.service`, that starts gunicorn, uvicorn or another such server.

    WorkingDirectory=/srv/shop                     the app's folder
    Environment="PATH=/srv/shop/venv/bin"          its Python
    EnvironmentFile=-/etc/shop.env                 read, where it can be
    ExecStart=/srv/shop/venv/bin/gunicorn shop.wsgi:application -w 4

What the service manager itself does (restarts, order, sandbox) belongs to the runtime's own unit.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping

from buntime.commands.drafts import Draft, Unreadable, read_text
from buntime.commands.importprocfile import LISTEN, USER, migrates, take_server
from buntime.core.errors import UsageError

_PREFIXES = "@-:+!"
_SPECIFIER = re.compile(r"%[A-Za-z]")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
_SHELLS = frozenset(("sh", "bash", "dash"))
_OF_SYSTEM = frozenset(("/", "/usr", "/usr/local"))  # where a Python is no app's environment
_FILE_MAX_BYTES = 1 << 20
_WHY = {
    **dict.fromkeys(("User", "Group", "DynamicUser"), USER),
    **dict.fromkeys(("Sockets",), LISTEN),
    **dict.fromkeys(
        ("MemoryMax", "MemoryHigh", "MemoryLimit", "CPUQuota", "TasksMax"),
        "of limits an app has its own: memoryMax, cpuMax and others, see docs/manifest.md",
    ),
    **dict.fromkeys(
        ("LoadCredential", "SetCredential", "LoadCredentialEncrypted", "SetCredentialEncrypted"),
        "name it under `secrets` and set its value, see docs/secrets.md",
    ),
    **dict.fromkeys(
        ("StateDirectory", "CacheDirectory", "LogsDirectory"),
        "an app with `data: true` has a folder for its data, APP_DATA_DIR",
    ),
    "ExecStop": "`on_terminate` of an app is called before its worker ends",
    "ExecStartPost": "only `release` runs before an app, once per deploy",
}


def read_service(text: str, source: str, path: str) -> Draft:
    """The app that a unit serves; `path` is the absolute one of its file. Raises UsageError."""
    keys: dict[str, list[str]] = {}
    for key, value in _service_lines(text, source):
        # As systemd does, an empty value forgets those before it.
        keys[key] = [*keys.get(key, ()), value] if value else []
    command = _only(keys, "ExecStart")
    if command is None:
        raise UsageError(f"{source} has no ExecStart in [Service], so it starts nothing")
    words = _words(command.lstrip(_PREFIXES), source)
    folder = (_only(keys, "WorkingDirectory") or "").lstrip("-") or _chdir(words)
    if not folder.startswith("/") or _SPECIFIER.search(folder):
        raise UsageError(
            f"{source}: WorkingDirectory does not say where the app is; write its folder there, in "
            "full, such as WorkingDirectory=/srv/shop"
        )
    folder = os.path.normpath(folder)
    draft = Draft(os.path.basename(folder), folder, source)
    if os.path.isdir(f"{path}.d"):
        draft.leave(f"{source}.d", "drop-ins are not read; carry their lines over by hand")
    env = {**_variables(draft, keys.get("Environment", ())), **_from_files(draft, keys)}
    _take_path(draft, env.pop("PATH", ""))
    draft.environment(env)
    for before in keys.get("ExecStartPre", ()):
        _prepare(draft, before.lstrip(_PREFIXES))
    _start(draft, [_substituted(word, env) for word in words])
    for key, values in keys.items():
        if key in _WHY and values:
            draft.leave(f"{key}={' '.join(values)}", _WHY[key])
    return draft


def _service_lines(text: str, source: str) -> Iterator[tuple[str, str]]:
    """Each `KEY=VALUE` of the section [Service]; a line that ends in a backslash goes on."""
    section = ""
    joined = re.sub(r"\\\n(?:[ \t]*[#;].*\n)*", " ", text.replace("\r\n", "\n"))
    for line in map(str.strip, joined.split("\n")):
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif section == "Service":
            key, equals, value = line.partition("=")
            if not equals:
                raise UsageError(f"{source}: {line[:80]!r} is not KEY=VALUE, as units have it")
            yield key.strip(), value.strip()
    if not section:
        raise UsageError(f"{source} is not a unit of systemd: it has no [Service]")


def _only(keys: Mapping[str, list[str]], key: str) -> str | None:
    values = keys.get(key)
    return values[-1] if values else None


def _words(text: str, source: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as exc:
        raise UsageError(f"{source}: {text[:80]!r} cannot be read: {exc}") from None


def _chdir(words: list[str]) -> str:
    """The value of gunicorn's --chdir."""
    for number, word in enumerate(words):
        if word.startswith("--chdir="):
            return word.partition("=")[2]
        if word == "--chdir" and number + 1 < len(words):
            return words[number + 1]
    return ""


# Variables


def _variables(draft: Draft, lines: list[str] | tuple[str, ...]) -> dict[str, str]:
    """`Environment="A=b c" D=e`"""
    found: dict[str, str] = {}
    for line in lines:
        for word in _words(line, draft.source):
            _assign(draft, found, word, f"Environment={word}")
    return found


def _from_files(draft: Draft, keys: Mapping[str, list[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in keys.get("EnvironmentFile", ()):
        path = each.lstrip("-")
        try:
            text = read_text(path, _FILE_MAX_BYTES)
        except FileNotFoundError:
            if path == each:
                draft.leave(f"EnvironmentFile={each}", "it is not on this machine")
            continue
        except Unreadable as exc:
            draft.leave(f"EnvironmentFile={each}", str(exc))
            continue
        for number, line in enumerate(map(str.strip, text.splitlines()), 1):
            if line and line[0] not in "#;":
                _assign(draft, found, line, f"{path}:{number}", is_quoted=True)
    return found


def _assign(
    draft: Draft, found: dict[str, str], text: str, what: str, *, is_quoted: bool = False
) -> None:
    """Never shows a value: it may be a secret."""
    match = _ASSIGNED.fullmatch(text)
    name = what.partition("=")[0] if match is None else match[1]
    if match is None:
        draft.leave(name, "it is not NAME=VALUE")
        return
    value = match[2]
    if is_quoted and len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    elif not is_quoted and _SPECIFIER.search(value.replace("%%", "")):
        draft.leave(name, "systemd puts something in place of its %; write the value")
        return
    found[name] = value if is_quoted else value.replace("%%", "%")


def _substituted(word: str, env: Mapping[str, str]) -> str:
    """`"$PORT"` with its value, where the unit says it."""
    return _REFERENCE.sub(lambda name: env.get(name[1] or name[2], name[0]), word)


def _take_path(draft: Draft, path: str) -> None:
    """The first folder of PATH, if it is that of a virtual environment."""
    first = path.partition(":")[0]
    if first:
        _take_program(draft, f"{first}/python")


def _take_program(draft: Draft, program: str) -> None:
    """`"/srv/shop/venv/bin/gunicorn"` has the app's packages, and its Python."""
    folder, name = os.path.split(os.path.dirname(program))
    if name == "bin" and folder.startswith("/") and folder not in _OF_SYSTEM:
        draft.python_of(folder)


# Commands


def _prepare(draft: Draft, command: str) -> None:
    if migrates(command):
        draft.prepare(command)
    else:
        draft.leave(f"ExecStartPre={command}", "only `release` runs before an app, once per deploy")


def _start(draft: Draft, words: list[str]) -> None:
    """`/srv/shop/venv/bin/python -m gunicorn ...`, or a shell with such a line."""
    program = words[0] if words else ""
    if os.path.basename(program) in _SHELLS and len(words) == 3 and words[1] in ("-c", "-lc"):
        take_server(draft, words[2].strip().removeprefix("exec "), "ExecStart")
        return
    _take_program(draft, program)
    name = os.path.basename(program)
    name = "python" if re.fullmatch(r"python3?(\.\d+)?", name) else name
    take_server(draft, shlex.join([name, *words[1:]]), "ExecStart")
