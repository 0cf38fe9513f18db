"""Reads a Procfile of Heroku, Dokku or piku, and piku's file ENV beside it."""

import os
import re
import shlex
from collections.abc import Callable, Mapping

from buntime.commands.drafts import Draft, number_or_none, seconds_or_none
from buntime.core.errors import UsageError

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(.+)")
_CRON = re.compile(r"((?:\S+\s+){5})(.+)")
_MODULE = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*(\(.*\))?)?")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_VARIABLE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)=(.*)")
_BEFORE = re.compile(r"-.*|" + _VARIABLE.pattern)  # flags of a starter, and variables
_WSGI, _ASGI = "wsgi", "asgi"
# Servers that load an app by its name, and which kind they are for.
_SERVERS = {
    "gunicorn": _WSGI, "waitress-serve": _WSGI, "bjoern": _WSGI, "cheroot": _WSGI, "uvicorn": _ASGI,
    "hypercorn": _ASGI, "daphne": _ASGI, "granian": _ASGI,
}  # fmt: skip
_STARTERS = frozenset(
    "python python3 uv poetry pipenv run exec newrelic-admin run-program ddtrace-run "
    "opentelemetry-instrument".split()
)
# Those of their flags that take a value. Others may take one too, such as those of newer versions.
_WITH_VALUE = re.compile(
    r"-[bwktcpeugm]|--(bind|workers|worker-class|threads|timeout|graceful-timeout|keep-alive|host|"
    r"port|log-level|log-file|access-logfile|error-logfile|worker-connections|max-requests|"
    r"max-requests-jitter|env|config|chdir|pythonpath|app-dir|worker-tmp-dir|name|"
    r"backlog|limit-request-line|forwarded-allow-ips|loop|http|ws|interface|listen|root-path|"
    r"statsd-host|access-logformat|log-config|limit-concurrency|reload-dir|endpoint|"
    r"user|group|umask|pid|pidfile|lifespan|logger-class|certfile|keyfile|ca-certs|ssl-[a-z-]+|"
    r"statsd-[a-z]+|ws-[a-z-]+|timeout-[a-z-]+|env-file|uds|fd|header|date-header)"
)
_MIGRATES = re.compile(r"\b(migrate|collectstatic|upgrade|db_upgrade|createcachetable)\b")


def read_procfile(text: str, source: str, folder: str) -> Draft:
    """The app of a Procfile in `folder`. Raises UsageError if it is not a Procfile."""
    draft = Draft(os.path.basename(folder), folder, source)
    lines = [line.strip() for line in text.splitlines()]
    found = [_LINE.fullmatch(line) for line in lines if line and not line.startswith("#")]
    if not found or None in found:
        raise UsageError(f"{source} is not a Procfile: each line must be NAME: COMMAND")
    for match in filter(None, found):
        _take(draft, match[1], match[2].strip())
    if "entrypoint" not in draft.manifest and not any("web" in each for each in draft.left):
        draft.leave("web", "it names no app; write `entrypoint` into the manifest")
    return draft


def _take(draft: Draft, name: str, command: str) -> None:
    if name in ("web", "wsgi"):
        take_server(draft, command, name) if name == "web" else _wsgi(draft, command)
    elif name == "release":
        draft.prepare(command, is_first=True)
    elif name == "static":
        _site(draft, command)
    elif name.startswith("cron"):
        match = _CRON.fullmatch(command)
        if match is None:
            draft.leave(f"{name}: {command}", "it is not a schedule")
        else:
            draft.job(name, " ".join(match[1].split()), match[2])
    elif name in ("php", "jwsgi", "rwsgi", "preflight"):
        draft.leave(f"{name}: {command}", "Buntime has nothing like it")
    else:
        draft.process(name, command)


def _wsgi(draft: Draft, command: str) -> None:
    """`main:app`; older ones have `main.app`."""
    module, colon, function = command.partition(":")
    if not colon:
        module, _, function = command.rpartition(".")
    draft.manifest["entrypoint"] = f"{module or function}:{function if module else 'application'}"
    draft.manifest["concurrency"] = 1


def _site(draft: Draft, command: str) -> None:
    folder = shlex.split(command)[0] if command else "."
    if "entrypoint" in draft.manifest:
        draft.static("static", folder)
    else:
        below = draft.below(folder) or folder
        draft.manifest["entrypoint"] = "index.html" if below == "." else f"{below}/index.html"


def take_server(draft: Draft, command: str, what: str) -> None:
    """What a line starts, "gunicorn shop:app -w 4"; `what` is how it is called in reports.

    The server comes last; what is before it prepares the app.
    """
    *before, last = [each.strip() for each in command.split("&&")]
    for each in before:
        if each.startswith("cd "):
            draft.import_from(each[3:].strip())
            draft.leave(
                each, "an app's working folder is its own folder, and its modules are found there"
            )
        elif migrates(each):
            draft.prepare(each)
        else:
            draft.leave(each, "only `release` runs before an app, once per deploy")
    try:
        words = shlex.split(last)
    except ValueError:
        words = last.split()
    while words and (words[0] in _STARTERS or _BEFORE.fullmatch(words[0])):
        word = words.pop(0)
        if match := _VARIABLE.fullmatch(word):
            draft.environment({match[1]: match[2]})
    name = os.path.basename(words[0]) if words else ""
    if name == "uwsgi":
        files = [word for word in words if word.endswith(".ini")]
        why = (
            f"import {files[0]} instead" if files else "its flags are not read; write `entrypoint`"
        )
        draft.leave(f"{what}: {last}", why)
    elif name not in _SERVERS:
        draft.leave(
            f"{what}: {last}",
            "it starts a server of its own; the runtime loads the app itself: write `entrypoint`",
        )
    else:
        _server(draft, name, words[1:], what)


def migrates(command: str) -> bool:
    """Whether it prepares an app that is deployed, as migrations do."""
    return _MIGRATES.search(command) is not None


def _server(draft: Draft, name: str, words: list[str], what: str) -> None:
    """`config.wsgi:application -w 4 --threads 8 -k uvicorn.workers.UvicornWorker`"""
    kind = _SERVERS[name]
    flags, target = _flags(words)
    if name == "gunicorn" and os.path.exists(os.path.join(draft.folder, _CONFIG)):
        flags.setdefault("-c", _CONFIG)  # gunicorn reads it without being told
    if target is None:
        draft.leave(what, "it names no app; write `entrypoint` into the manifest")
        return
    is_factory = "--factory" in flags or "--call" in flags
    module, _, function = target.partition(":")
    function = function or "application"
    draft.manifest["entrypoint"] = f"{module}:{function}{'()' if is_factory else ''}"
    worker = flags.pop("-k", flags.pop("--worker-class", ""))
    if "uvicorn" in worker.lower():
        kind = _ASGI
    elif worker not in ("", "sync", "gthread"):
        draft.leave(f"worker class {worker}", "an app has threads; `concurrency` says how many")
    if kind == _WSGI:
        draft.manifest["concurrency"] = 1
    for flag, value in flags.items():
        _take_flag(draft, kind, flag, value)


def _flags(words: list[str]) -> tuple[dict[str, str], str | None]:
    """The flags with their values, and what is served.

    What follows a flag that is not known may be its value: other words come first.
    """
    flags: dict[str, str] = {}
    found: list[tuple[bool, bool, str]] = []
    before = ""
    rest = iter(words)
    for word in rest:
        if word.startswith("--") and "=" in word:
            flag, _, value = word.partition("=")
            flags[flag] = value
        elif _WITH_VALUE.fullmatch(word):
            flags[word] = next(rest, "")
        elif word.startswith("-"):
            flags[word] = ""
        elif _MODULE.fullmatch(word):
            found.append((":" in word, flags.get(before) != "", word))
        before = word
    best = max(found, key=lambda each: each[:2], default=None)
    return flags, best and best[2]


_NUMBERS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    **dict.fromkeys(("-w", "--workers"), ("workers", int)),
    "--threads": ("concurrency", int),
    "--limit-concurrency": ("concurrency", int),
    **dict.fromkeys(("-t", "--timeout"), ("timeout", lambda value: f"{int(value)}s")),
    "--max-requests": ("maxRequests", number_or_none),
}
_CONFIG = "gunicorn.conf.py"
LISTEN = "where the runtime listens is a setting: RUNTIME_LISTEN"
USER = "apps run as the runtime's user; if that is root, `user` in the manifest names another"
_WHY = {
    **dict.fromkeys(("-b", "--bind", "--host", "--port", "--listen", "--uds"), LISTEN),
    **dict.fromkeys(("-u", "--user", "-g", "--group"), USER),
    **dict.fromkeys(("-c", "--config"), "that file is not read; carry its lines over by hand"),
    "--root-path": "the folder's name is the base, and the app is told it with each request",
}
# How a server logs, listens and starts does not belong to the app.
_OF_SERVERS = re.compile(
    r"--(log|access|error|keep|graceful|backlog|reload|preload|name|capture|proxy|forwarded|no-|"
    r"factory|call|loop|http|ws|worker-tmp|max-requests-jitter|disable|interface|worker-conn).*|-[pR]"
)


def _take_flag(draft: Draft, kind: str, flag: str, value: str) -> None:
    if flag in _NUMBERS:
        name, make = _NUMBERS[flag]
        try:
            number = make(value)
        except ValueError:
            draft.leave(f"{flag} {value}", "it comes from the environment; write the value")
            return
        if name == "concurrency" and kind == _ASGI and flag == "--threads":
            draft.leave(f"{flag} {value}", "an ASGI app runs on its loop")
        else:
            draft.manifest[name] = number
    elif flag in _WHY:
        draft.leave(f"{flag} {value}", _WHY[flag])
    elif flag in ("--chdir", "--pythonpath", "--app-dir"):
        draft.import_from(value)
    elif flag in ("-e", "--env"):
        name, _, setting = value.partition("=")
        draft.environment({name: setting})
    elif not _OF_SERVERS.fullmatch(flag):
        draft.leave(f"{flag} {value}".strip(), "Buntime has nothing like it")


# ENV


def read_env(text: str, source: str) -> dict[str, str]:
    """The variables of piku's ENV, with those of earlier lines substituted. Raises UsageError."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _VARIABLE.fullmatch(line)
        if match is None:
            raise UsageError(f"{source}:{number}: not NAME=VALUE")
        value = match[2].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if len(value) < 10_000:
            value = _REFERENCE.sub(lambda name: found.get(name[1], name[0]), value)
        found[match[1]] = value[:100_000]
    return found


def take_env(draft: Draft, env: Mapping[str, str]) -> None:
    """Add them to the draft: what piku itself reads becomes keys, the rest variables of the app."""
    own = {}
    for name, value in env.items():
        if name in _KEYS:
            key, make = _KEYS[name]
            try:
                draft.manifest[key] = make(value)
            except ValueError:
                draft.leave(f"{name}={value}", "it is not a number")
        elif name == "NGINX_SERVER_NAME":
            draft.manifest["hosts"] = value.replace(",", " ").split()
        elif name == "NGINX_STATIC_PATHS":
            for each in value.split(","):
                prefix, _, path = each.strip().partition(":")
                draft.static(prefix, path)
        elif name in _OF_PIKU:
            draft.leave(f"{name}={value}", _OF_PIKU[name])
        elif name.startswith(("PIKU_", "UWSGI_", "NGINX_", "NODE_", "ACME_")):
            draft.leave(f"{name}={value}", "Buntime has nothing like it")
        else:
            own[name] = value
    draft.environment(own)


_KEYS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "UWSGI_PROCESSES": ("workers", int),
    "UWSGI_MAX_REQUESTS": ("maxRequests", number_or_none),
    "UWSGI_IDLE": ("idleTimeout", seconds_or_none),
}
_OF_PIKU = {
    "PORT": LISTEN,
    "BIND_ADDRESS": LISTEN,
    "DISABLE_IPV6": LISTEN,
    "PYTHON_VERSION": "`python` in the manifest names the version, such as 3.12",
    "NGINX_HTTPS_ONLY": "a proxy in front of the runtime does this",
    "NGINX_CLOUDFLARE_ACL": "a proxy in front of the runtime does this",
    "UWSGI_ENABLE_THREADS": "`concurrency` says how many requests a worker has at once",
    "UWSGI_INCLUDE_FILE": "import that file too",
}
