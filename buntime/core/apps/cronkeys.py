"""Reads the manifest's `cron` and `processes`: what an app does without being requested.

    cron:
      - {schedule: "*/5 * * * *", path: /jobs/clean}
      - {schedule: "@daily", run: [python, manage.py, clearsessions], timezone: Europe/Berlin}
    processes:
      worker: celery -A tasks worker

Each function takes what YAML made of the file and raises BadValue.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from buntime.core.access.paths import plain_path
from buntime.core.apps.manifestvalues import route_pattern, seconds_dump
from buntime.core.schedule.expression import parse_schedule
from buntime.core.schedule.jobs import AppProcess, CronJob
from buntime.core.values.kinds import Parser, duration, one_of, yes_or_no
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue, format_duration
from buntime.core.values.wording import shown, unknown_key

JOBS_MAX = 100
PROCESSES_MAX = 20
_WORDS_MAX = 200
_WORD_MAX_CHARS = 10_000
_TIMEOUT_MAX_S = 86_400.0
_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ZONE = regex(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,3}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_QUERY = regex(r"[!$&-;=?-Z_a-z~%]*")  # what a query may contain unescaped, without "#"


def cron_jobs(value: object) -> tuple[CronJob, ...]:
    """The jobs of an app, each with its own name."""
    if not isinstance(value, list):
        raise BadValue(
            f"{shown(value)} is not a list; write one like "
            '[{schedule: "0 3 * * *", path: /clean}]'
        )
    if len(value) > JOBS_MAX:
        raise BadValue(f"{len(value)} jobs are too many; write {JOBS_MAX} at most")
    jobs = tuple(_job(item, place) for place, item in enumerate(value, 1))
    names: set[str] = set()
    for place, job in enumerate(jobs, 1):
        if job.name in names:
            raise BadValue(f"job {place}: another job is called {job.name}; give one a `name`")
        names.add(job.name)
    return jobs


def cron_dump(jobs: tuple[CronJob, ...]) -> list[dict[str, object]]:
    """Jobs as a manifest writes them, in JSON's types."""
    return [_dump(job) for job in jobs]


def processes(value: object) -> tuple[AppProcess, ...]:
    """`{"worker": "celery -A tasks worker"}` -> `(AppProcess("worker", ("celery", ...)),)`."""
    if not isinstance(value, dict):
        raise BadValue(
            f"{shown(value)} is not a mapping; write lines like worker: celery -A tasks worker"
        )
    if len(value) > PROCESSES_MAX:
        raise BadValue(f"{len(value)} processes are too many; write {PROCESSES_MAX} at most")
    return tuple(
        AppProcess(_name(name), _located(name, words, item)) for name, item in value.items()
    )


def processes_dump(found: tuple[AppProcess, ...]) -> dict[str, list[str]]:
    """Processes as a manifest writes them, in JSON's types."""
    return {each.name: list(each.command) for each in found}


def words(value: object) -> tuple[str, ...]:
    """A program and its arguments: `"celery -A tasks worker"`, or a list of them."""
    if isinstance(value, str):
        try:
            found = shlex.split(value)
        except ValueError as exc:  # "No closing quotation"
            raise BadValue(f"{shown(value)} is not a command: {exc}") from None
    elif isinstance(value, list):
        found = value
    else:
        raise BadValue(f"{shown(value)} is not a command; write one like [python, manage.py, sync]")
    for word in found:
        if not isinstance(word, str):
            raise BadValue(f"{shown(word)} is not text; put it in quotes")
        if "\0" in word or len(word) > _WORD_MAX_CHARS:
            raise BadValue(f"{shown(word)} cannot be an argument: it has a null, or is too long")
    if not found or not found[0] or len(found) > _WORDS_MAX:
        raise BadValue(f"{len(found)} words are not a command; write from one to {_WORDS_MAX}")
    return tuple(found)


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadValue(f"{shown(value)} is not a name; use letters, digits, _ . - (64 at most)")
    return value


def _zone(value: object) -> str:
    if not isinstance(value, str) or len(value) > 64 or not _ZONE.fullmatch(value):
        raise BadValue(f"{shown(value)} is not a time zone; write one like Europe/Berlin")
    return value


def _path(value: object) -> str:
    text = value if isinstance(value, str) else ""
    path, mark, query = text.partition("?")
    if not path.startswith("/"):
        raise BadValue(f'{shown(value)} is not a path; write one that begins with "/"')
    route_pattern(path)
    if not path.isascii() or plain_path(path) != path or not _QUERY.fullmatch(query):
        raise BadValue(f"{shown(value)} has a character that no plain path, or no query, has")
    return path + mark + query


def _method(value: object) -> str:
    word = value.upper() if isinstance(value, str) else ""
    if word not in _METHODS:
        raise BadValue(f"{shown(value)} is not one of {', '.join(_METHODS)}")
    return word


_DURATION = duration()


def _timeout(value: Any) -> float:
    seconds: float = _DURATION(value)
    if seconds > _TIMEOUT_MAX_S:
        raise BadValue(
            f"{shown(value)} is too long; write {format_duration(_TIMEOUT_MAX_S)} or less"
        )
    return seconds


# Key -> how it is read, and its value where it is not written.
KEYS: Mapping[str, tuple[Parser, object]] = {
    "schedule": (parse_schedule, None),
    "path": (_path, None),
    "run": (words, ()),
    "method": (_method, "POST"),
    "overlap": (one_of("forbid", "allow", "queue"), "forbid"),
    "timeout": (_timeout, 600.0),
    "name": (_name, ""),
    "timezone": (_zone, "UTC"),
    "catchUp": (yes_or_no, False),
    "cronOnly": (yes_or_no, False),
}


def _job(item: object, place: int) -> CronJob:
    if not isinstance(item, dict):
        raise BadValue(f"job {place}: {shown(item)} is not a mapping with schedule, path or run")
    for key in item:
        if key not in KEYS:
            raise BadValue(f"job {place}: {unknown_key(key, KEYS)}")
    got: dict[str, Any] = {
        key: _located(f"job {place}: {key}", parse, item[key]) if key in item else default
        for key, (parse, default) in KEYS.items()
    }
    if got["schedule"] is None:
        raise BadValue(f'job {place}: schedule is missing; write one like "0 3 * * *", in quotes')
    if (got["path"] is None) == (not got["run"]):
        raise BadValue(f"job {place}: write either path, for a request, or run, for a program")
    if got["run"] and (got["cronOnly"] or "method" in item):
        raise BadValue(f"job {place}: method and cronOnly are for jobs with a path")
    return CronJob(
        name=got["name"] or _default_name(got["path"], got["run"]),
        schedule=got["schedule"],
        timezone=got["timezone"],
        path=got["path"],
        method=got["method"],
        run=got["run"],
        overlap=got["overlap"],
        timeout_s=got["timeout"],
        catch_up=got["catchUp"],
        cron_only=got["cronOnly"],
    )


def _located(where: str, parse: Parser, value: object) -> Any:
    try:
        return parse(value)
    except BadValue as exc:
        raise BadValue(f"{where}: {exc}") from None


def _default_name(path: str | None, run: tuple[str, ...]) -> str:
    """`"/jobs/clean"` -> "jobs-clean", `("python", "sync.py")` -> "python-sync.py"."""
    text = path.partition("?")[0] if path is not None else " ".join(run)
    name = "-".join(re.findall(r"[A-Za-z0-9_.]+", text)).lstrip("._-")[:64].rstrip("-")
    return name or "root"


def _dump(job: CronJob) -> dict[str, object]:
    what: dict[str, object]
    if job.path is None:
        what = {"run": list(job.run)}
    else:
        what = {"path": job.path, "method": job.method, "cronOnly": job.cron_only}
    return {
        "name": job.name,
        "schedule": job.schedule,
        "timezone": job.timezone,
        **what,
        "overlap": job.overlap,
        "timeout": seconds_dump(job.timeout_s),
        "catchUp": job.catch_up,
    }
