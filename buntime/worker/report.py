"""Describes an app's error as a message and a stack that starts in the app's own code.

Nothing here raises, whatever the exception is, and whatever the app has replaced `traceback` or
`sys.stderr` with: otherwise a waiting client would never get an answer.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from buntime.wire import Message

# characters. Both go on one line of the channel, where JSON may turn one into six.
MAX_MESSAGE = 8 * 1024
MAX_STACK = 64 * 1024
MAX_ADVICE = 1000

# Where this package's code is, which an app's author need not see.
_OURS = (__file__.rpartition("/")[0] + "/", "<frozen importlib")


class BootError(Exception):
    """The app cannot be served as it is; the message tells its author why, and a stack would not
    help."""


def describe(exc: BaseException) -> tuple[str, str]:
    """Return (message, stack) of an exception: `("KeyError: 'a'", "Traceback (most …")`."""
    if isinstance(exc, BootError):
        return _cut(str(exc), MAX_MESSAGE), ""
    return _cut(_message(exc), MAX_MESSAGE), _cut(_stack(exc), MAX_STACK)


def advise(exc: BaseException, init: Message) -> str:
    """Return what the author of INIT's app can do about an error of a handler, if known."""
    try:
        from buntime.worker.remedies import advice  # for a mistake

        return _cut(advice(exc, init), MAX_ADVICE)
    except BaseException:  # noqa: BLE001  # no memory, no files, an exception of the app's own
        return ""


def complain(text: str, exc: BaseException | None = None) -> None:
    """Write to the app's stderr, which the runtime logs; with the stack of `exc`."""
    if exc is not None:
        text += "\n" + _stack(exc).rstrip()
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001  # closed, taken away, or the app's own: no other place
        return


def text_of(exc: BaseException) -> str:
    """Return `str(exc)`, or a substitute: an app's own __str__ may raise."""
    try:
        return "".join((str(exc),))  # a plain str, also of a subclass
    except BaseException as broken:  # noqa: BLE001  # the edge of the app
        return f"<its __str__ raised {type(broken).__name__}>"


def _message(exc: BaseException) -> str:
    name = type.__dict__["__name__"].__get__(type(exc))  # not what a metaclass claims
    text = text_of(exc)
    return f"{name}: {text}" if text else name


def _stack(exc: BaseException) -> str:
    trace = None
    try:
        trace = _trimmed(exc.__traceback__)
        import traceback  # 4 ms, and most workers never need it

        return "".join(traceback.format_exception(type(exc), exc, trace))
    except BaseException as broken:  # noqa: BLE001  # the edge of the app, see above
        return (
            f"{_plain_stack(trace)}{_message(exc)}\n({_message(broken)} while this was reported)\n"
        )


def _plain_stack(trace: TracebackType | None) -> str:
    lines = []
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n')
        trace = trace.tb_next
    return "".join(lines)


def _trimmed(trace: TracebackType | None) -> TracebackType | None:
    """Drop the frames above the app's first, also the loop's that runs it; if it has none, all."""
    loop = getattr(sys.modules.get("asyncio"), "__file__", None)
    ours = (*_OURS, loop.rpartition("/")[0] + "/") if isinstance(loop, str) else _OURS
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return trace


def _cut(text: str, most: int) -> str:
    """Keep the beginning, and the end, which has the cause."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[... {len(text) - most} characters ...]\n{text[-most // 2 :]}"
