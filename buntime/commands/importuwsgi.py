"""Reads an ini file of uWSGI; its Emperor has one for each vassal."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping

from buntime.commands.drafts import Draft, number_or_none, seconds_or_none
from buntime.core.errors import UsageError

# Options about uWSGI itself: an app loses nothing without them.
_OF_UWSGI = frozenset(
    "master vacuum die-on-term single-interpreter lazy lazy-apps enable-threads need-app strict "
    "no-orphan no-orphans pidfile pidfile2 safe-pidfile plugin plugins plugins-dir plugin-dir "
    "thunder-lock procname procname-prefix procname-master auto-procname chmod-socket chown-socket "
    "buffer-size post-buffering disable-logging daemonize daemonize2 logto logto2 logger logdate "
    "log-5xx log-4xx log-x-forwarded-for log-date log-format logfile log-master touch-reload "
    "py-autoreload stats memory-report harakiri-verbose harakiri-graceful-timeout reload-mercy "
    "worker-reload-mercy listen max-fd uwsgi-socket protocol py-call-osafterfork "
    "ignore-sigpipe ignore-write-errors disable-write-exception offload-threads http-timeout "
    "http-keepalive http-auto-chunked so-keepalive socket-timeout static-expires "
    "static-cache-paths cheap threads-stacksize show-config vhost".split()
)
_LISTENS = frozenset(
    "socket http http-socket https https-socket fastcgi-socket shared-socket".split()
)
_WHY = {
    "uid": "apps run as the runtime's user; if that is root, `user` in the manifest names another",
    "gid": "apps run as the runtime's user; if that is root, `user` in the manifest names another",
    "gevent": "an app has threads, or a loop if it is ASGI; `concurrency` says how many at once",
    "asyncio": "an app has threads, or a loop if it is ASGI; `concurrency` says how many at once",
    "mule": "write the program below `processes`",
    "spooler": "write a program that reads the folder below `processes`",
    "cheaper": "workers start when they are needed, up to `workers`",
    "cheaper-initial": "workers start when they are needed, up to `workers`",
    "if-env": "the lines after it were taken as they are",
    "endif": "the lines before it were taken as they are",
    "ini": "import that file too",
    "include": "import that file too",
}
_PLACE = re.compile(r"%\(([^)]+)\)|%([dnspcev])|\$\(([^)]+)\)")
_NAMED = re.compile(r"%\(([^)]+)\)")
_VALUE_MAX_CHARS = 10_000  # of a value with what placeholders stand for
_CRON = re.compile(r"(-?[0-9]+)\s+(-?[0-9]+)\s+(-?[0-9]+)\s+(-?[0-9]+)\s+(-?[0-9]+)\s+(.+)")
_FIELDS = ("minute", "hour", "day", "month", "week")

Options = list[tuple[str, str]]


def read_uwsgi(text: str, source: str, path: str) -> list[Draft]:
    """The app of the file at `path`. Raises UsageError if it is not such a file."""
    options = _options(text)
    if options is None:
        raise UsageError(f"{source} is not a file of uWSGI: it has no section [uwsgi]")
    own = {found[1].replace("_", "-") for _, value in options for found in _NAMED.finditer(value)}
    options = _filled(options, path)
    given = dict(options)
    stem = os.path.splitext(os.path.basename(path))[0]
    folder = os.path.join(os.path.dirname(path), given.get("chdir") or ".")
    folder = os.path.normpath(folder)
    name = os.path.basename(folder) if stem.startswith("uwsgi") else stem
    draft = Draft(name, folder, source)
    _entrypoint(draft, given)
    for key, value in options:
        _take(draft, key, value, own)
    draft.manifest.setdefault("concurrency", 1)
    env = [value.partition("=") for key, value in options if key == "env"]
    draft.environment({name: value for name, _, value in env})
    return [draft]


def _options(text: str) -> Options | None:
    """All of the section [uwsgi], in order; a key may come several times."""
    options: Options = []
    section, has_it = "", False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
            has_it |= section == "uwsgi"
        elif line and line[0] not in ";#" and section == "uwsgi":
            key, mark, value = line.partition("=")
            value = re.sub(r"\s+[#;].*", "", value).strip()
            options.append((key.strip().replace("_", "-"), value if mark else "true"))
    return options if has_it else None


def _filled(options: Options, path: str) -> Options:
    """Placeholders refer to other keys, the file's own path, and the environment."""
    folder, file = os.path.split(path)
    stem, ending = os.path.splitext(file)
    own = {
        "d": f"{folder}/", "n": stem, "s": file, "p": path, "c": os.path.basename(folder),
        "e": ending.lstrip("."), "v": folder,
    }  # fmt: skip
    filler = _Filler(dict(options), own)
    return [(key, filler.fill(value)) for key, value in options]


class _Filler:
    """Replaces placeholders; one that refers to itself stays unchanged."""

    def __init__(self, given: Mapping[str, str], own: Mapping[str, str]) -> None:
        self._given = given
        self._own = own
        self._known: dict[str, str] = {}
        self._under_way: set[str] = set()

    def fill(self, value: str) -> str:
        filled = _PLACE.sub(self._found, value)
        return filled if len(filled) < _VALUE_MAX_CHARS else value

    def _found(self, match: re.Match[str]) -> str:
        if match[2]:
            return self._own[match[2]]
        key = (match[1] or "").replace("_", "-")
        if not key or key not in self._given or key in self._under_way:
            return match[0]
        if key not in self._known:
            self._under_way.add(key)
            self._known[key] = self.fill(self._given[key])
            self._under_way.discard(key)
        return self._known[key]


def _entrypoint(draft: Draft, given: Mapping[str, str]) -> None:
    function = given.get("callable")
    if module := given.get("module") or given.get("wsgi") or given.get("w"):
        module, _, named = module.partition(":")
        draft.manifest["entrypoint"] = f"{module}:{named or function or 'application'}"
    elif file := given.get("wsgi-file") or given.get("file"):
        below = draft.below(file) or file
        draft.manifest["entrypoint"] = f"{below}:{function}" if function else below
    elif mount := given.get("mount"):
        place, _, module = mount.partition("=")
        draft.manifest["entrypoint"] = module if ":" in module else f"{module}:application"
        draft.leave(f"mount at {place}", f"the app answers below /{draft.name}, or at `hosts`")
    else:
        draft.leave("module", "it names none; write `entrypoint` into the manifest")


def _take(draft: Draft, key: str, value: str, own: Collection[str]) -> None:
    """What one option becomes; `own` are options that occur in values of others."""
    place = "from the environment" if "$(" in value else "not in the file" if "%(" in value else ""
    if place and key not in ("env", *_OF_UWSGI):
        draft.leave(f"{key} = {value}", f"it is {place}; write the value")
    elif key in _VALUES:
        name, make = _VALUES[key]
        try:
            draft.manifest[name] = make(value)
        except ValueError:
            draft.leave(f"{key} = {value}", "it is not a number")
    elif key in _ACTS:
        _ACTS[key](draft, value)
    elif key in _LISTENS:
        draft.leave(f"{key} = {value}", "where the runtime listens is a setting: RUNTIME_LISTEN")
    elif key in _WHY:
        draft.leave(f"{key} = {value}", _WHY[key])
    elif not (key in own or key in _USUAL or key in _OF_UWSGI or key in _READ):
        draft.leave(f"{key} = {value}", "Buntime has nothing like it")


# Names that other lines of the file use, `base = /srv`, even if none does any more.
_USUAL = frozenset(("base", "project", "project-name", "app", "name", "root", "instance-dir"))


_READ = frozenset("chdir module wsgi w callable wsgi-file file mount env".split())
_VALUES: Mapping[str, tuple[str, Callable[[str], object]]] = {
    **dict.fromkeys(("processes", "workers", "p"), ("workers", int)),
    "threads": ("concurrency", int),
    "max-requests": ("maxRequests", number_or_none),
    "harakiri": ("timeout", lambda value: f"{int(value)}s"),
    "idle": ("idleTimeout", seconds_or_none),
    "reload-on-rss": ("maxMemory", lambda value: f"{int(value)}mb"),
    "limit-as": ("maxAddressSpace", lambda value: f"{int(value)}mb"),
    "limit-post": ("maxBodySize", int),
    "nice": ("nice", int),
}


def _static(draft: Draft, value: str) -> None:
    prefix, _, path = value.partition("=")
    draft.static(prefix, path)


def _daemon(draft: Draft, value: str) -> None:
    """`attach-daemon2 = cmd=celery -A shop worker,touch=...`; elsewhere the command alone."""
    command = re.sub(r"^(?:[^ ]+,)?cmd=", "", value).partition(",")[0] if "cmd=" in value else value
    number = len(draft.manifest.get("processes", ())) + 1
    draft.process("daemon" if number == 1 else f"daemon{number}", command)


def _cron(draft: Draft, value: str) -> None:
    found = _CRON.fullmatch(value)
    if found is None:
        draft.leave(f"cron = {value}", "it is not a schedule")
    else:
        _job(draft, list(found.groups()[:5]), found[6])


def _cron2(draft: Draft, value: str) -> None:
    """`minute=-5,hour=2 program`, where what is not named is each."""
    options, _, command = value.partition(" ")
    given = dict(_pairs(options))
    if not given.keys() <= {*_FIELDS, "unique", "harakiri", "legion"} or not command.strip():
        draft.leave(f"cron2 = {value}", "it is not a schedule")
    else:
        _job(draft, [given.get(field, "-1") for field in _FIELDS], command.strip())


def _pairs(options: str) -> Iterator[tuple[str, str]]:
    for each in options.split(","):
        name, _, value = each.partition("=")
        yield name.strip(), value.strip()


def _job(draft: Draft, fields: list[str], command: str) -> None:
    schedule = " ".join(
        "*" if each == "-1" else f"*/{each[1:]}" if each.startswith("-") else each
        for each in fields
    )
    number = len(draft.manifest.get("cron", ())) + 1
    draft.job(f"cron{number}", schedule, command)


_ACTS: Mapping[str, Callable[[Draft, str], None]] = {
    **dict.fromkeys(("virtualenv", "venv", "home", "pyhome", "H"), Draft.python_of),
    **dict.fromkeys(("pythonpath", "python-path", "pp"), Draft.import_from),
    **dict.fromkeys(("static-map", "static-map2"), _static),
    **dict.fromkeys(
        ("attach-daemon", "attach-daemon2", "smart-attach-daemon", "legion-attach-daemon"), _daemon
    ),
    **dict.fromkeys(("cron", "legion-cron", "unique-cron"), _cron),
    **dict.fromkeys(("cron2", "legion-cron2"), _cron2),
}
