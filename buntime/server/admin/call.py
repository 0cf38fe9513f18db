"""One request for a page of the runtime's own, as its handler sees it.

A handler is `def show(self, call: Call) -> None`. It answers now, or later from a callback on the
loop's thread; if the client has left by then, the answer is dropped at no cost. It refuses by
raising an HttpError, also from what it passed to `body`, `json` or `receive`; other callbacks go
through `call.guard(...)`:

    def add(self, call: Call) -> None:
        call.json(lambda value: self._add(call, value))

    def _add(self, call: Call, value: dict[str, Any]) -> None:
        self._db.ask(work, lambda found: call.guard(lambda: self._added(call, found)))
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from buntime.core.access.rights import Caller, may
from buntime.core.admin.apitags import MISSING, check_match, tag_of
from buntime.core.admin.matching import app_of
from buntime.core.admin.route import Route
from buntime.core.errors import HttpError, ServerFault
from buntime.core.http1.window import body_too_large
from buntime.server.admin.jsonbody import read_json
from buntime.server.admin.receiving import Receiving, Sink, Whole
from buntime.server.admin.streaming import EVENTS, Stream
from buntime.server.http1.exchange import Exchange

JSON_MAX_BYTES = 64 * 1024

_JSON = ("content-type", "application/json")
_FRESH = ("cache-control", "no-store")

Field = tuple[str, str]


class Call:
    """A request whose route is known, and whose caller has the right to it."""

    __slots__ = ("caller", "exchange", "query", "route", "values")

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        values: Mapping[str, str],
        query: Mapping[str, Any],
        caller: Caller,
    ) -> None:
        self.exchange = exchange
        self.route = route
        self.values = values  # from the path: {"app": "@acme/shop"}
        self.query = query  # each parameter of the route; None or its default if not given
        self.caller = caller

    def __repr__(self) -> str:
        return f"Call({self.route.name}, {dict(self.values)}, {self.caller!r})"

    # The request, and who made it

    @property
    def now(self) -> float:
        """Monotonic seconds, by the loop's clock."""
        return self.exchange.now

    @property
    def app(self) -> str | None:
        """The app named in the path or the query."""
        if "target" in self.values:
            return app_of(self.values["target"])
        return self.values.get("app") or self.query.get("app")

    @property
    def is_dry_run(self) -> bool:
        """Whether to check everything and answer as usual, but change nothing."""
        return bool(self.query.get("dryRun"))

    @property
    def address(self) -> str:
        """The address it came from: "192.0.2.1", "unix"."""
        return self.exchange.sender.text

    @property
    def is_gone(self) -> bool:
        """Whether it is answered, or its client has left."""
        return self.exchange.is_ended

    @property
    def by(self) -> str:
        """The caller as recorded: "key laptop", "socket"."""
        caller = self.caller
        return f"key {caller.name}" if caller.source == "key" else caller.name

    def header(self, name: str) -> str | None:
        """The first value of a header field, by its name in lower case."""
        return next((value for each, value in self.exchange.head.headers if each == name), None)

    def accepts(self, media: str) -> bool:
        """Whether the client asks for this media type by name: `call.accepts(NDJSON)`."""
        return media in (self.header("accept") or "")

    def may(self, verb: str, app: str | None = None) -> bool:
        """Whether the caller also has this right. See `rights.may`."""
        return may(self.caller, verb, app)

    def sees(self, app: str) -> bool:
        """Whether the caller has the route's right for this app. For handlers that filter."""
        return may(self.caller, self.route.verb, app)

    # The request's body

    def body(self, max_bytes: int, then: Callable[[bytes], None]) -> None:
        """Receive the whole body, up to this size; larger ones get 413."""
        self._receive(Whole(self.exchange, lambda data: self.guard(lambda: then(data))), max_bytes)

    def json(self, then: Callable[[Any], None], max_bytes: int = JSON_MAX_BYTES) -> None:
        """Receive the body as JSON, checked against the schema of the route's `body`.

        The value is None if the route's body is optional and there is none.
        """
        body = self.route.body
        schema = {} if body is None or body.schema is None else body.schema
        is_needed = body is None or body.required
        self.body(
            max_bytes, lambda data: then(read_json(data, schema) if data or is_needed else None)
        )

    def receive(self, sink: Sink, max_bytes: int) -> Receiving:
        """Receive the body piece by piece, see `receiving.Sink`; the sink calls `more`.

        If everything has arrived already, the first piece may come before this returns: a sink that
        needs the `Receiving` for `more` then makes it:
        `Receiving(call.exchange, sink).begin(max_bytes)`.
        """
        receiving = Receiving(self.exchange, sink)
        self._check_length(max_bytes)
        receiving.begin(max_bytes)
        return receiving

    def _receive(self, whole: Whole, max_bytes: int) -> None:
        self._check_length(max_bytes)
        whole.receiving.begin(max_bytes)

    def _check_length(self, max_bytes: int) -> None:
        if self.exchange.head.content_length > max_bytes:
            raise body_too_large(max_bytes)

    # The answer

    def answer(self, value: object, status: int = 200, fields: Iterable[Field] = ()) -> None:
        """Answer with `value` as JSON, marked as not to be cached."""
        data = json.dumps(value).encode("ascii") + b"\n"
        self.respond(status, [_JSON, _FRESH, *fields], data)

    def tagged(self, value: object, of: object = None, status: int = 200) -> None:
        """Like `answer`, with an ETag of `of`, by default of the value: for routes that `has_tag`.

        `of` leaves out what changes by itself, such as when something was last used.
        """
        self.answer(value, status, [("etag", tag_of(value if of is None else of))])

    def check_match(self, of: object) -> None:
        """Raises ClientFault (412) before a change if If-Match does not match the state `of`, which
        is None if the thing to change does not exist."""
        check_match(self.header("if-match"), MISSING if of is None else tag_of(of))

    def respond(self, status: int, fields: list[Field], body: bytes = b"") -> None:
        """Answer with these bytes."""
        if not self.exchange.is_ended:
            self.exchange.respond(status, fields, body)

    def page(self, names: Iterable[str]) -> tuple[list[str], str | None]:
        """The names on the page that `limit` and `cursor` ask for, and the cursor of the next page.

        For routes whose query has LIMIT, or MOST, and CURSOR. A cursor is the last name of the
        previous page, so names that come or go meanwhile shift nothing.
        """
        limit, cursor = self.query["limit"], self.query["cursor"]
        rest = sorted(name for name in names if cursor is None or name > cursor)
        page = rest[:limit]
        return page, page[-1] if len(rest) > len(page) else None

    def done(self, fault: BaseException | None, value: object, status: int = 200) -> None:
        """Answer after a request to state.db: with `value`, or with the fault."""

        def act() -> None:
            if fault is not None:
                raise fault
            self.answer(value, status)

        self.guard(act)

    def fail(self, error: HttpError) -> None:
        """Answer with an error."""
        self.exchange.fail(error)

    def stream(
        self,
        media: str,
        status: int = 200,
        fields: Iterable[Field] = (),
        *,
        is_endless: bool = False,
    ) -> Stream:
        """Begin an answer in pieces, of NDJSON, EVENTS or other bytes; see `streaming.Stream`.

        `is_endless`: the runtime does not wait for it at shutdown; EVENTS always are.
        """
        stream = Stream(self.exchange)
        head = [("content-type", media), _FRESH, *fields]
        stream.begin(status, head, is_endless=is_endless or media == EVENTS)
        return stream

    def guard(self, act: Callable[[], None]) -> None:
        """Run a part of a handler; refusals become the answer, and so do our own bugs."""
        try:
            act()
        except HttpError as error:
            self.fail(error)
        except BaseException:
            self.fail(ServerFault(500, "internal", "the runtime failed; its log says more"))
            raise  # for the log
