"""Checks the values in a worker's messages: whole numbers, texts, yes or no. Nothing is trusted.

Apps share their worker's process, so the channel may carry anything that JSON can express. Each
check raises ValueError with a short text whatever the value is: a deeply nested one cannot even be
shown.
"""

from typing import Any

from buntime.core.apps.watching import checked_imports
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown
from buntime.wire import Message

_CONCURRENCY_MAX = 100_000  # far above that of any kind of app
_KIND_MAX_CHARS = 32  # also of a framework's name
_BOOT_MAX_MS = 10**9  # twelve days
_IMPORTS_MAX = 10
_IMPORT_MAX_CHARS = 100
# In characters. `worker/report` cuts them shorter.
_ERROR_MAX_CHARS = 32 * 1024
_STACK_MAX_CHARS = 128 * 1024
_ADVICE_MAX_CHARS = 2000
_METHOD_MAX_CHARS = 64
_TARGET_MAX_CHARS = 2000


class ImportTime(NamedTuple):
    """How long a package took to import, without what it imports itself."""

    name: str
    ms: float
    modules: int


class Ready(NamedTuple):
    """What a worker says about the app that it has loaded."""

    kind: str
    concurrency: int  # requests at once
    boot_ms: float
    files: tuple[str, ...] = ()  # files that it has imported from the app's folder
    framework: str = ""  # one that keeps sessions in the process, if it was asked for that
    imports: tuple[ImportTime, ...] | None = None  # the slowest, if the worker was asked for them


def flag(value: Any) -> bool:
    """`end` and the like: exactly true or false, not what Python treats as such."""
    if value is True or value is False:
        return value
    raise ValueError(f"{shown(value)} where true or false should be")


def whole(value: Any, least: int, most: int | None = None) -> int:
    """A whole number within these limits; true and 1.0 do not count."""
    if type(value) is int and value >= least and (most is None or value <= most):
        return value
    raise ValueError(f"{shown(value)} where a number from {least} on should be")


def text(value: Any) -> str:
    """A value in a message that must be text. Raises ValueError."""
    if type(value) is str:
        return value
    raise ValueError(f"{shown(value)} where a text should be")


def share(value: Any) -> float:
    """A fraction from 0 to 1."""
    if type(value) in (int, float) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"a busy share of {shown(value)}")


def ready(message: Message) -> Ready:
    """Read a READY."""
    boot_ms = message["boot_ms"]
    if type(boot_ms) not in (int, float) or not 0 <= boot_ms <= _BOOT_MAX_MS:
        raise ValueError(f"a boot that took {shown(boot_ms)} ms")
    concurrency = whole(message["concurrency"], 1, _CONCURRENCY_MAX)
    files = checked_imports(message.get("files", []))
    kind, framework = text(message["kind"]), text(message.get("framework", ""))
    imports = message.get("imports")
    return Ready(
        kind[:_KIND_MAX_CHARS],
        concurrency,
        boot_ms,
        files,
        framework[:_KIND_MAX_CHARS],
        None if imports is None else _import_times(imports),
    )


def _import_times(value: Any) -> tuple[ImportTime, ...]:
    if type(value) is not list or len(value) > _IMPORTS_MAX:
        raise ValueError("imports that are not a short list")
    return tuple(map(_import_time, value))


def _import_time(value: Any) -> ImportTime:
    if type(value) is not list or len(value) != 3:
        raise ValueError("an import that is not a triple")
    name, ms, modules = value
    if type(ms) not in (int, float) or not 0 <= ms <= _BOOT_MAX_MS:
        raise ValueError(f"an import that took {shown(ms)} ms")
    return ImportTime(text(name)[:_IMPORT_MAX_CHARS], float(ms), whole(modules, 0))


class LateFault(NamedTuple):
    """What a handler raised after its request was over. `request_id` is "" if it is not known."""

    method: str
    target: str
    message: str  # with advice
    stack: str
    request_id: str


def fault(message: Message, closed: tuple[int, str]) -> LateFault:
    """Read a FAULT; `closed` has the number and the id of the request that was closed last.

    The id is not the worker's to say: it could be another app's.
    """
    summary, stack, advice = error(message)
    number, request_id = closed
    return LateFault(
        text(message["method"])[:_METHOD_MAX_CHARS],
        text(message["target"])[:_TARGET_MAX_CHARS],
        f"{summary}; {advice}" if advice else summary,
        stack,
        request_id if whole(message["id"], 1) == number else "",
    )


def hook_failure(message: Message) -> tuple[str, str]:
    """The error and stack of a NOTICE `failed`, cut in the same way as those of an ERROR."""
    summary, stack = text(message["error"]), text(message["traceback"])
    return summary[:_ERROR_MAX_CHARS], stack[:_STACK_MAX_CHARS]


def error(message: Message) -> tuple[str, str, str]:
    """The message, stack and advice of an ERROR, cut where they are longer than a worker makes
    them."""
    summary, stack = text(message["message"]), text(message["stack"])
    advice = text(message.get("advice", ""))
    return summary[:_ERROR_MAX_CHARS], stack[:_STACK_MAX_CHARS], advice[:_ADVICE_MAX_CHARS]
