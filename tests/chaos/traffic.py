"""The clients: each sends one kind of request to one app again and again, and checks every byte."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.chaos.apps import SITE, ChaosApp, payload, site_page
from tests.chaos.client import Client, Cut, Garbage, Reply
from tests.chaos.journal import Asked, Journal
from tests.chaos.plugins import GUARDED

ATTEMPT_S = 75.0  # for one answer: more than an app's timeout in the queue and one in the worker
STARVED_S = 120.0  # a request that is refused for this long counts as lost
# Seconds after which new code must answer. It is seen within a second or two, but serves only once
# it is loaded, and a full pool may have no room for it for a while.
SETTLED_S = 120.0

SMALL_MAX = 60_000  # bytes: whole answers that the worker sends in one message
_BIG = (200_000, 3_000_000)
_UPLOAD = (100_000, 1_500_000)
_MESSAGE_MAX = 100_000
_SERVICE_RESTART = 1012
_REST_MAX_S = 5.0  # a client rests as long as its last request took, up to this


class Odd(Exception):
    """An answer was not as expected; `outcome` is one of the journal's words."""

    def __init__(self, outcome: str, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.retry_after_s = retry_after_s


@dataclass
class Traffic:
    """What all clients share."""

    port: int
    journal: Journal
    seed: int
    tagged: Collection[str] = ()  # apps whose answers to GETs all have what a hook adds
    small_max: int = SMALL_MAX  # bytes of a small answer, or of a body to echo
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def chance(self, label: str) -> random.Random:
        """Random numbers that are the same for the same label and seed."""
        return random.Random(f"{self.seed} {label}")

    async def is_over_within(self, seconds: float) -> bool:
        """Wait this long, or until the traffic should end; returns whether it should."""
        try:
            async with asyncio.timeout(seconds):
                return await self.is_over.wait()
        except TimeoutError:
            return False

    async def keep_asking(
        self, app: ChaosApp, kind: str, number: int, *, pin: str = "", pause_s: float = 0.1
    ) -> None:
        """One client: sends requests of one kind until the traffic is over, with pauses of about
        `pause_s`, or as long as the request took if that is more.
        """
        label = f"{app.name}{pin}-{kind}-{number}"
        chance = self.chance(label)
        client = Client(self.port)
        count = 0
        try:
            while not self.is_over.is_set():
                count += 1
                begun = time.monotonic()
                await self.ask(client, app, kind, f"{label}-{count}", chance, pin=pin)
                # So a slow machine has fewer requests under way, instead of making all of them
                # late.
                took_s = min(time.monotonic() - begun, _REST_MAX_S)
                await self.is_over_within(max(chance.uniform(0, 2 * pause_s), took_s))
        finally:
            client.close()

    async def ask(
        self,
        client: Client,
        app: ChaosApp,
        kind: str,
        name: str,
        chance: random.Random,
        *,
        pin: str = "",
        asks_again: bool = True,
    ) -> None:
        """One request; if it is refused, it is sent again under its id after the given time."""
        give_up_s = time.monotonic() + STARVED_S
        ask = _ASK[kind]
        seed = chance.random()
        while True:
            started = self.journal.begin(app.name, name)
            question = Question(self, client, app, name, f"/{app.name}{pin}", random.Random(seed))
            outcome, detail, retry_after_s = "ok", "", 0.0
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    await ask(question, started)
            except Odd as odd:
                outcome, detail, retry_after_s = odd.outcome, str(odd), odd.retry_after_s
            except Cut as cut:
                outcome = "cut" if cut.has_begun else "lost"
                detail = str(cut)
                if cut.has_begun and not question.is_prefix(cut.body):
                    outcome, detail = "wrong", f"{detail}, and they were wrong"
            except Garbage as garbage:
                outcome, detail = "wrong", str(garbage)
            except TimeoutError:
                outcome, detail = "hung", f"nothing in {ATTEMPT_S:g} s"
                client.close()
            except OSError as exc:
                outcome, detail = "lost", repr(exc)
            now = time.monotonic()
            if outcome == "refused" and asks_again and now > give_up_s:
                outcome, detail = "starved", f"refused for {STARVED_S:g} s"
            self.journal.end(
                Asked(name, app.name, kind, question.target, outcome, detail, started, now)
            )
            if outcome != "refused":
                return
            self.journal.retry_after_s.append(retry_after_s)
            client.close()
            if not asks_again or await self.is_over_within(retry_after_s):
                self.journal.unrun.add(name)
                return


@dataclass
class Question:
    """One attempt at one request."""

    traffic: Traffic
    client: Client
    app: ChaosApp
    name: str
    base: str
    chance: random.Random
    target: str = ""
    wanted: bytes = b""

    @property
    def is_get(self) -> bool:
        return "/small/" in self.target or "/big/" in self.target

    def is_prefix(self, body: bytes) -> bool:
        return self.app.name == SITE or self.wanted.startswith(body)

    def check(self, reply: Reply, started_s: float) -> None:
        """Raises Odd unless the answer is right."""
        if reply.status != 200:
            raise _odd(reply)
        if reply.body != self.wanted:
            raise Odd("wrong", f"{len(reply.body)} bytes for {len(self.wanted)}, or others")
        if self.is_get and self.app.name in self.traffic.tagged and "x-tag" not in reply.fields:
            raise Odd("wrong", "a hook was passed over")
        self.check_generation(int(reply.fields.get("x-generation", -1)), started_s)

    def check_generation(self, generation: int, started_s: float) -> None:
        """New code answers soon, and code that was never there does not answer."""
        if "@" in self.base:
            return
        oldest, newest = self.app.expected(started_s, SETTLED_S)
        if not oldest <= generation <= newest:
            raise Odd("stale", f"by generation {generation}, not {oldest} to {newest}")
        newer = [at for number, at in self.app.deployed.items() if number > generation]
        lags = self.traffic.journal.lags_s
        lags[self.app.name] = max(lags.get(self.app.name, 0.0), started_s - min(newer, default=1e9))


async def _small(question: Question, started_s: float) -> None:
    await _get(question, "small", question.chance.randrange(question.traffic.small_max), started_s)


async def _big(question: Question, started_s: float) -> None:
    await _get(question, "big", question.chance.randrange(*_BIG), started_s)


async def _get(question: Question, kind: str, size: int, started_s: float) -> None:
    question.target = f"{question.base}/{kind}/{question.name}/{size}"
    question.wanted = payload(question.app.name, question.name, size)
    question.check(await question.client.ask("GET", question.target), started_s)


async def _static(question: Question, started_s: float) -> None:
    question.target = f"{question.base}/page.bin"
    reply = await question.client.ask("GET", question.target)
    if reply.status != 200:
        raise _odd(reply)
    number = reply.body.partition(b"\n")[0]
    if not number.isdigit() or reply.body != site_page(int(number)):
        raise Odd("wrong", f"{len(reply.body)} bytes, begun with {number[:20]!r}")
    question.check_generation(int(number), started_s)


async def _guarded(question: Question, started_s: float) -> None:
    question.target = f"{question.base}{GUARDED}/{question.name}"
    reply = await question.client.ask("GET", question.target)
    if reply.status != 401:
        raise _odd(reply) if reply.status == 503 else Odd("wrong", f"a guarded path: {reply}")


async def _echo(question: Question, started_s: float) -> None:
    question.target = f"{question.base}/echo/{question.name}"
    size = question.chance.randrange(1, question.traffic.small_max)
    question.wanted = question.chance.randbytes(size)
    reply = await question.client.ask("POST", question.target, question.wanted)
    question.check(reply, started_s)


async def _upload(question: Question, started_s: float) -> None:
    question.target = f"{question.base}/upload/{question.name}"
    question.wanted = question.chance.randbytes(question.chance.randrange(*_UPLOAD))
    reply = await question.client.ask("POST", question.target, question.wanted, is_streamed=True)
    question.check(reply, started_s)


async def _websocket(question: Question, started_s: float) -> None:
    """A few messages there and back; being told to come back later is a good end too."""
    question.target = f"{question.base}/ws/{question.name}"
    url = f"ws://127.0.0.1:{question.traffic.port}{question.target}"
    try:
        connection = await connect(url, proxy=None, open_timeout=None, ping_interval=None)
        async with connection:
            await _echo_messages(connection, question)
    except InvalidStatus as exc:
        answer = exc.response
        fields = {name.lower(): value for name, value in answer.headers.raw_items()}
        raise _odd(Reply(answer.status_code, fields, bytes(answer.body or b""))) from exc
    except ConnectionClosed as exc:
        code = exc.rcvd.code if exc.rcvd is not None else 1006
        if code != _SERVICE_RESTART:
            raise Odd("cut", f"closed with {code}") from exc
    except EOFError as exc:
        raise Odd("lost", "the connection ended in the handshake") from exc


async def _echo_messages(connection: ClientConnection, question: Question) -> None:
    chance = question.chance
    for _ in range(chance.randrange(1, 12)):
        message = chance.randbytes(chance.randrange(_MESSAGE_MAX))
        await connection.send(message)
        if await connection.recv() != message:
            raise Odd("wrong", "another message came back")
        question.traffic.journal.sockets_echoed += 1
        await asyncio.sleep(chance.uniform(0, 0.1))


_ASK: dict[str, Callable[[Question, float], Awaitable[None]]] = {
    "small": _small,
    "big": _big,
    "static": _static,
    "guarded": _guarded,
    "echo": _echo,
    "upload": _upload,
    "websocket": _websocket,
}
KINDS = tuple(_ASK)


def _odd(reply: Reply) -> Odd:
    """What an answer other than 200 means."""
    try:
        code = json.loads(reply.body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return Odd("wrong", f"{reply.status} without an error's code: {reply.body[:200]!r}")
    detail = f"{reply.status} {code}"
    retry_after = reply.fields.get("retry-after", "")
    if reply.status == 503:
        if not retry_after.isdigit() or int(retry_after) < 1:
            return Odd("wrong", f"{detail} with Retry-After {retry_after!r}")
        return Odd("refused", f"{detail}, Retry-After {retry_after}", float(retry_after))
    outcome = {502: "died", 504: "late"}.get(reply.status, "failed")
    if (reply.status, code) == (500, "app_boot_failed"):
        outcome = "broken"
    return Odd(outcome, detail)
