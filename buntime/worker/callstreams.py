"""The result of a call whose method yields: an iterator over items as they come."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from buntime.worker.call import Call, Caller


class Stream:
    """The items of a call, for code that blocks. `close`, or `with`, ends it early."""

    def __init__(self, calls: Caller, call: Call) -> None:
        self._calls = calls
        self._call = call

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        calls, call = self._calls, self._call
        while True:
            seen = call.news
            taken = call.next_item()
            if taken is not None:
                calls.take_back(call, taken[1])
                return taken[0]
            calls.wait(call, seen)

    def close(self) -> None:
        """Let the plugin know that nobody takes more."""
        call = self._call
        call.items.clear()
        if not call.has_ended:
            call.has_ended = True
            self._calls.cancel(call)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._calls.abandon(self._call)
