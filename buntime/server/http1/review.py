"""An answer that plugins with an on_response hook look at before it leaves.

    respond, start, stream,
    accept (of a WebSocket) ─> begin ──> Reviewer.on_answer
    what follows the head ───> kept         │
                                            v
                               release: all of it goes out, in its order
                               drop:    nothing of it does

What is kept is bounded by the credit that the answer's worker has at first: while nothing is sent,
no more is given.
"""

from collections.abc import Callable

from buntime.core.http1.answer import check_head, without_nominated
from buntime.core.values.protocols import Protocol
from buntime.server.http1.parties import Resource
from buntime.server.http1.request import Fields

Begin = Callable[[int, Fields], None]
"""Begins an answer, with the status and the fields that it is to have."""


class Reviewer(Protocol):
    """Looks at the answer of one request."""

    def on_answer(self, status: int, fields: list[tuple[str, str]]) -> None:
        """Its head; `Exchange.reviewed` or `replace` must follow, now or later."""

    def on_dropped(self) -> None:
        """Nobody waits for the review any more."""


class Review:
    """What is kept of an answer while it is looked at."""

    __slots__ = ("_begin", "_resources", "_rest", "has_begun", "is_opening", "reviewer")

    def __init__(self, reviewer: Reviewer) -> None:
        self.has_begun = False  # is a head being looked at?
        self.is_opening = False  # is that the head that opens a WebSocket?
        self.reviewer = reviewer
        self._begin: Begin | None = None
        self._rest: list[Callable[[], None]] = []
        self._resources: list[Resource] = []  # what to close if nothing is sent

    def begin(self, status: int, fields: Fields, begin: Begin) -> None:
        """Keep the answer that `begin` begins, and have its head looked at.

        An app has said it: who looks at it gets only what could be sent. Raises AnswerError.
        """
        if not self.is_opening:  # it was checked as a handshake
            check_head(status, fields)
        self.has_begun = True
        self._begin = begin
        pairs = [(name, value) for name, value in without_nominated(fields)]
        self.reviewer.on_answer(status, pairs)

    def keep(self, act: Callable[[], None], resource: Resource | None = None) -> None:
        """Do this once the head has been sent. The resource is closed if it never is."""
        self._rest.append(act)
        if resource is not None:
            self._resources.append(resource)

    def release(self, status: int, fields: Fields, refuse: Callable[[Exception], None]) -> None:
        """Send all of it.

        What follows the head may be something that cannot be sent. That is the app's fault, not
        that of the plugin whose verdict is being handled: the rest is left out, and `refuse` is
        called with the reason.
        """
        if self._begin is None:
            raise AssertionError("a review of no answer")
        self._begin(status, fields)
        try:
            for act in self._rest:
                act()
        except (KeyError, TypeError, ValueError, RecursionError) as exc:  # as in a `Channel`
            refuse(exc)

    def drop(self) -> None:
        """Send none of it."""
        if self.has_begun:
            self.has_begun = False
            self.reviewer.on_dropped()
        for resource in self._resources:
            resource.close()
