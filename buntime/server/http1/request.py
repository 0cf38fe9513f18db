"""What a client asks, who it is, and which app answers: what is known before the answer.

The steps of the pipeline fill it in; `Exchange` adds the answer.
"""

from collections.abc import Callable, Collection, Container, Iterable
from functools import lru_cache
from time import time

from buntime.core.access.peers import UNIX_PEER
from buntime.core.apps.app import App
from buntime.core.errors import HttpError
from buntime.core.http1.errorpage import render_error
from buntime.core.http1.forwarded import Sender
from buntime.core.http1.handover import quote_address, repeated, write_fields_for_app
from buntime.core.http1.head import Head
from buntime.core.http1.window import UploadWindow
from buntime.core.plugins.identity import Identity, identity_fields
from buntime.core.plugins.rerouting import AppChoice
from buntime.core.pool.boot import Boot
from buntime.core.telemetry.meters import Meter
from buntime.core.telemetry.records import AccessEntry
from buntime.core.telemetry.tracecontext import Span
from buntime.core.websocket.handshake import Upgrade, accept_response
from buntime.server.http1.parties import Client, Footing, Keeper
from buntime.wire import REQUEST, quote

Fields = Collection[tuple[str, str] | list[str]]


class ClientRequest:
    """A request, with what the steps before its answer have found out about it."""

    __slots__ = (
        "_added_text",
        "_reader",
        "_service",
        "_upload",
        "app",
        "base",
        "body_max_bytes",
        "boot",
        "chosen",
        "client",
        "footing",
        "head",
        "headers",
        "id",
        "identity",
        "keeper",
        "kept_aside",
        "meter",
        "sender",
        "span",
        "spec",
        "started_s",
        "upgrade",
        "worker_name",
    )

    job = ""  # the name of the job that makes the request; "" for a client's
    is_admitted = False  # has it shown what opens the app, in place of a key?
    is_operators = False  # did it come in at the operators' address?

    def __init__(self, client: Client, head: Head, request_id: str, sender: Sender) -> None:
        self.client = client
        self._service = service = client.service
        self._reader = client.reader
        self.head = head
        self.id = request_id
        self.sender = sender
        self.started_s = service.loop.now
        self.headers = head.headers  # without the runtime's key
        # That key, if it was set aside before it was checked.
        self.kept_aside: tuple[tuple[str, str], ...] = ()
        self.app: App | None = None
        self.meter: Meter = service.meters.of_none
        self.spec: str | None = None
        self.base = ""  # the app's base as the client sees it: "/shop@1", "/tools/shop"
        self.body_max_bytes = 0  # 0 while nobody reads it
        # the body, once a worker has it, and what a WebSocket's client sends
        self._upload: UploadWindow | None = None
        self.keeper: Keeper | None = None  # while it is kept for plugins
        self.worker_name = ""  # the last worker that had it
        self.boot: Boot | None = None  # of that worker, if it had to load the app first
        self.span: Span | None = None  # if requests are traced
        # what plugins have said about it
        self.identity: Identity | None = None
        self.chosen: AppChoice | None = None
        self.footing: Footing | None = None  # what it depends on if it stays open
        self._added_text = ""  # fields for the app with the identity and the host
        self.upgrade: Upgrade | None = None  # the WebSocket that the client offers

    @property
    def now(self) -> float:
        """The loop's time, in monotonic seconds."""
        return self._service.loop.now

    @property
    def is_draining(self) -> bool:
        """Is the runtime shutting down?"""
        return self._service.is_draining

    @property
    def body_seen_bytes(self) -> int:
        """How many bytes of the request's body have come and were wanted."""
        return 0 if self._upload is None else self._upload.seen_bytes

    @property
    def may_gather(self) -> bool:
        """Is there a body that is still to come, and that nobody has waited for?"""
        return self._upload is None and self.upgrade is None and not self._reader.body_ended

    @property
    def gathered_bytes(self) -> int:
        """How many bytes of the body have come that no worker has."""
        return self._reader.gathered_bytes

    @property
    def body_come_bytes(self) -> int:
        """How many bytes of the body have come, as far as it was wanted."""
        return self.body_seen_bytes + self._reader.gathered_bytes

    @property
    def is_gathering(self) -> bool:
        """Is its body waited for, and kept meanwhile?"""
        return self._upload is not None and self._upload.is_gathering

    @property
    def holds_slot(self) -> bool:
        """Does it have a worker of its own?"""
        app = self.app
        return bool(self.worker_name) and app is not None and app.manifest.ttl_s == 0

    def has_place_in(self, apps: Container[str]) -> bool:
        """Does a worker of one of these apps, given by their keys, have it?"""
        app = self.app
        return bool(self.worker_name) and app is not None and app.key in apps

    @property
    def lacks_body(self) -> bool:
        """Is more of the body to come?"""
        return not self._reader.body_has_come

    def peek_body(self, start: int, end: int) -> bytes:
        """A part of what has come of the body that no worker has."""
        return self._reader.peek(start, end)

    def discard_body(self) -> None:
        """Nobody will read what has come of the body."""
        self._reader.discard()
        self._let_keeper_go()

    def _let_keeper_go(self) -> None:
        keeper, self.keeper = self.keeper, None
        if keeper is not None:
            keeper.let_go(self)

    @property
    def upload_credit(self) -> int:
        """How many more bytes the worker accepts."""
        return 0 if self._upload is None else self._upload.credit_bytes

    @property
    def wants_body(self) -> bool:
        """Is somebody waiting for more of the request's body?"""
        return self._upload is not None and self._upload.wants_data

    def turn_into(self, kind: type["ClientRequest"]) -> None:
        """Change to a class that has the same slots, and answers in another way."""
        self.__class__ = kind

    def route_to(self, app: App, *, base: str, spec: str | None = None) -> None:
        """This app answers, at `base`; so could any version in the range `spec`."""
        self.app = app
        self.spec = spec
        self.meter = self._service.meters.of(app)
        self.base = base

    def limit_body(self, max_bytes: int) -> None:
        """Refuse a body that turns out to be larger."""
        self.body_max_bytes = max_bytes

    def offer_upgrade(self, upgrade: Upgrade) -> None:
        """The client offers a WebSocket."""
        self.upgrade = upgrade

    def meet_cold_worker(self, boot: Boot) -> None:
        """The worker that gets it had not loaded the app when the request came."""
        self.boot = boot

    def withhold(self, is_secret: Callable[[tuple[str, str]], bool]) -> None:
        """Hide these fields of the request from whoever answers."""
        self.headers = tuple(pair for pair in self.headers if not is_secret(pair))

    def set_aside(self, is_key: Callable[[tuple[str, str]], bool]) -> None:
        """Remove the runtime's keys before plugins see them; they are checked later."""
        kept_aside = tuple((name, value) for name, value in self.headers if is_key((name, value)))
        if kept_aside:
            self.kept_aside = kept_aside
            self.headers = tuple(pair for pair in self.headers if pair not in kept_aside)

    def take_token(self) -> None:
        """Remove the query, a secret that must not get into logs; `kept_aside` has it."""
        head = self.head
        if "?" in head.target:
            self.kept_aside = (("query", head.query),)
            self.head = head._replace(target=head.path)

    def show(self, headers: tuple[tuple[str, str], ...]) -> None:
        """Set the fields that whoever answers will see."""
        self.headers = headers

    def rewrite(self, head: Head) -> None:
        """A plugin has changed the path or the fields."""
        self.head = head
        self.headers = (*head.headers,)  # a copy: they are not as the parser has made them

    def identify(self, identity: Identity) -> None:
        """A plugin knows who asks."""
        self.identity = identity
        self.tell(identity_fields(identity))

    def tell(self, fields: Iterable[tuple[str, str]]) -> None:
        """Give the app these fields too, which no client can send."""
        for name, value in fields:
            self._added_text += f"[{quote(name)},{quote(value)}],"

    def stand_on(self, footing: Footing) -> None:
        """If it stays open, it does so only for as long as `footing` allows."""
        self.footing = footing

    def choose(self, app: AppChoice) -> None:
        """A plugin has chosen another app than the one that the path names."""
        self.chosen = app

    def to_line(self, number: int, body: bytes, *, ended: bool) -> bytes:
        """The REQUEST for a worker in whose channel it has this number; `body` is its payload.

        The JSON is written by hand: there is one for each request, and `wire.encode` takes four
        times as long. Methods and request ids are tokens, which are valid between JSON's quotes as
        they are.
        """
        head, sender, upgrade, more = self.head, self.sender, self.upgrade, ""
        if body:
            more = f',"size":{len(body)}'
        if upgrade is not None:
            subprotocols = ",".join(map(quote, upgrade.subprotocols))
            more += f',"upgrade":"websocket","subprotocols":[{subprotocols}]'
        server, base, target = self.client.address, self.base, quote(sender.prefix + head.target)
        end = "true" if ended else "false"
        if self.headers is head.headers:  # as the parser has made them
            added = self._added_text
            second = repeated(head, sender, server, base, added, self._write_fields)
            if second:
                return (
                    f'{{"type":"{REQUEST}","id":{number},"target":{target},'
                    f'"client":{_quote_known(sender.client)},"request_id":"{self.id}",'
                    f'"end":{end}{more}}}'
                ).encode("ascii") + second
        return (
            f'{{"type":"{REQUEST}","id":{number},"method":"{head.method}",'
            f'"target":{target},"base":{quote(base)},"scheme":"{sender.scheme}",'
            f'"version":"{head.version}","client":{_quote_known(sender.client)},'
            f'"server":{_quote_known(server)},'
            f'"headers":[{self._write_fields()}{self._added_text}["x-base",{quote(base)}],'
            f'["x-request-id","{self.id}"]],'
            f'"request_id":"{self.id}","end":{end}{more}}}\n'
        ).encode("ascii")

    def _write_fields(self) -> str:
        """The fields that the app gets of those that came, as JSON, with a comma behind each."""
        fields, is_less = write_fields_for_app(self.head, self.headers, self.sender)
        if is_less:
            self._service.on_fields_dropped(self.sender.text, self.headers)
        return fields

    def _render(self, error: HttpError) -> tuple[Fields, bytes]:
        """An error of the runtime, as the fields and the body of an answer."""
        accept = next((value for name, value in self.head.headers if name == "accept"), "")
        explain = self._service.explain
        return render_error(
            error,
            self.id,
            accept=accept,
            shows_detail=self._service.is_development,
            hint=explain(self, error) if explain is not None else "",
        )

    def _shake_hands(self, subprotocol: str | None, fields: Fields) -> bytes:
        """The head that opens the WebSocket; raises as `accept_response` does."""
        if self.upgrade is None:
            raise AssertionError("a handshake of a request that is not a WebSocket")
        date = self._service.date()
        return accept_response(self.upgrade, subprotocol, fields, date=date, request_id=self.id)

    def _log_access(self, status: int, sent_bytes: int, seconds: float) -> None:
        """It has ended: write its line in the access log."""
        app, sender, tracer = self.app, self.sender, self._service.tracer
        span = self.span or (None if tracer is None else tracer.begin(self))
        # A call of the class takes four times as long, and each request pays for it.
        entry = tuple.__new__(
            AccessEntry,
            (
                time(),
                self.id,
                self.head.method,
                sender.host or self.head.host,
                self.head.target,
                None if app is None else app.name,
                None if app is None else app.version,
                self.worker_name or None,
                status,
                sent_bytes,
                seconds * 1000,
                sender.client[0] if sender.client else UNIX_PEER,
                "" if span is None else span.trace_id,
                "" if span is None else span.span_id,
            ),
        )
        self._service.log.access(entry)
        if span is not None and tracer is not None:
            tracer.end(self, span, entry)

    def _log_bad_answer(self, error: str) -> None:
        app = self.app
        self._service.log.error(
            "app.answer_invalid",
            "app gave an answer that cannot be sent",
            error=error,
            request_id=self.id,
            path=self.head.path,
            app=app.name if app is not None else None,
            version=app.version if app is not None else None,
            worker=self.worker_name or None,
        )

    def _open_body(self) -> tuple[bytes, bool]:
        """The piece of the body that goes with the request, and whether that is all of it."""
        upload = self._upload or self._make_upload()
        upload.max_bytes = self.body_max_bytes  # it may have been made before the limit was known
        data = upload.open()
        return data, self._reader.body_ended

    def _make_upload(self) -> UploadWindow:
        awaits = self.head.expects_continue
        upload = UploadWindow(self._reader, self.body_max_bytes, awaits_continue=awaits)
        self._upload = upload
        return upload


# The same for all requests of a connection, except a proxy's.
_quote_known = lru_cache(maxsize=1024)(quote_address)
