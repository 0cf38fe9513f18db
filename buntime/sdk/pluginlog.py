"""`plugin.log`: log lines with a level.

Each line goes to stderr after its level, written as sd-daemon(3) and the kernel do, `<4>` for a
warning; the runtime removes that again. So no line is lost because a channel is busy, and children
of the plugin may write too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CRITICAL, ERROR, WARNING, INFO, DEBUG = 2, 3, 4, 6, 7


class Log:
    """Writes like the loggers of `logging`: `log.info("%s has signed in", name)`."""

    def debug(self, message: object, *args: Any, exc_info: Any = None) -> None:
        """Write something that only developers of the plugin want to see."""
        _write(DEBUG, message, args, exc_info)

    def info(self, message: object, *args: Any, exc_info: Any = None) -> None:
        """Write an ordinary event."""
        _write(INFO, message, args, exc_info)

    def warning(self, message: object, *args: Any, exc_info: Any = None) -> None:
        """Write something that somebody should look at some day."""
        _write(WARNING, message, args, exc_info)

    def error(self, message: object, *args: Any, exc_info: Any = None) -> None:
        """Write a failure."""
        _write(ERROR, message, args, exc_info)

    def critical(self, message: object, *args: Any, exc_info: Any = None) -> None:
        """Write something that somebody should look at now."""
        _write(CRITICAL, message, args, exc_info)

    def exception(self, message: object, *args: Any, exc_info: Any = True) -> None:
        """Write a failure, with the stack of the exception that is being handled."""
        _write(ERROR, message, args, exc_info)


def _write(level: int, message: object, args: tuple[Any, ...], exc_info: Any) -> None:
    text = _formatted(message, args)
    if exc_info:
        text += "\n" + _stack(exc_info)
    lines = [f"<{level}>{line}\n" for line in text.splitlines() or [""]]
    try:
        sys.stderr.write("".join(lines))  # in one go, so that threads do not mix theirs
        sys.stderr.flush()
    except Exception:  # noqa: BLE001  # the plugin closed its stderr, or put its own in its place
        return


def _formatted(message: object, args: tuple[Any, ...]) -> str:
    text = _text(message, str)
    if not args:
        return text
    try:  # one dict is for "%(name)s", as in logging
        return text % (args[0] if len(args) == 1 and isinstance(args[0], dict) else args)
    except Exception:  # noqa: BLE001  # also what a value's own __str__ raises: no line is lost for it
        return f"{text} {_text(args, repr)}"


def _text(value: object, write: Callable[[object], str]) -> str:
    try:
        return write(value)
    except Exception as exc:  # noqa: BLE001  # a value's own __str__
        return f"<a {type(value).__name__}, which raised {type(exc).__name__}>"


def _stack(exc_info: Any) -> str:
    exc = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    if exc is None:
        return ""
    try:
        import traceback  # 4 ms, only if something went wrong

        return "".join(traceback.format_exception(type(exc), exc, exc.__traceback__)).rstrip()
    except Exception as broken:  # noqa: BLE001  # a plugin's own exceptions and loaders
        return f"{_text(exc, repr)} ({_text(broken, repr)} while its stack was formatted)"
