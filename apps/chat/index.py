"""A chat: rooms, WebSockets, and a page that uses them. Open it in two browsers:

    http://localhost:8000/chat/

A browser sends what a member says, as text. It receives JSON:
`{"kind": "said", "name": "Ada", "text": "Hello", "time": "2024-05-17T09:30:00+00:00"}`. The kinds
`joined` and `left` have the `members` of the room instead of a text.

    curl http://localhost:8000/chat/rooms
"""

import asyncio
import json
from collections import deque
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from buntime import AsyncWebSocket, Request, Response, WebSocketClosed

PAGE = (Path(__file__).parent / "page.html").read_text("utf-8")
HISTORY = 50  # messages of a room that a new member gets
MAX_NAME = 40  # characters
MAX_TEXT = 2000
MAX_UNSENT = 100  # messages queued for a member who does not read
UNSUPPORTED, TOO_LARGE, TOO_SLOW = 1003, 1009, 1013  # close codes, RFC 6455 7.4.1 and IANA


class Member:
    """A member of a room. Messages wait in a queue, so that a slow member does not delay others."""

    def __init__(self, name: str, ws: AsyncWebSocket) -> None:
        self.name = name
        self._ws = ws
        self._unsent: asyncio.Queue[str] = asyncio.Queue(MAX_UNSENT)

    async def write(self) -> None:
        """Send queued messages as long as the WebSocket is open."""
        try:
            while True:
                await self._ws.send(await self._unsent.get())
        except WebSocketClosed:
            return  # the handler notices it too, and cleans up

    async def tell(self, message: str) -> None:
        try:
            self._unsent.put_nowait(message)
        except asyncio.QueueFull:
            await self._ws.close(TOO_SLOW, "too many messages wait for you")


class Room:
    """The members of a room, and its last messages."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.history: deque[str] = deque(maxlen=HISTORY)

    async def tell_all(self, kind: str, name: str, **more: object) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        message = json.dumps({"kind": kind, "name": name, "time": now, **more})
        if kind == "said":
            self.history.append(message)
        for member in self.members.copy():
            await member.tell(message)

    def names(self) -> list[str]:
        return sorted({member.name for member in self.members})


rooms: dict[str, Room] = {}


async def fetch(request: Request) -> Response:
    if request.path == "/":
        # With <base>, relative links work under any path: /chat, /chat/, /chat@1/.
        return Response.html(PAGE.replace("{{base}}", escape(request.base + "/")))
    if request.path == "/rooms":
        return Response.json({name: room.names() for name, room in rooms.items()})
    return Response("there is / and /rooms, and a WebSocket at /socket\n", status=404)


async def websocket(ws: AsyncWebSocket) -> Response | None:
    """One member's stay in a room: `/socket?room=tea&name=Ada`."""
    if ws.path != "/socket":
        return Response("the WebSocket is at /socket\n", status=404)
    room_name, name = (ws.query.get(key, "").strip() for key in ("room", "name"))
    if not (0 < len(room_name) <= MAX_NAME and 0 < len(name) <= MAX_NAME):
        return Response(f"room and name must have 1 to {MAX_NAME} characters\n", status=400)
    await ws.accept()
    room = rooms.setdefault(room_name, Room())
    member = Member(name, ws)
    writing = asyncio.create_task(member.write())
    try:
        for message in room.history:
            await member.tell(message)
        room.members.append(member)
        await room.tell_all("joined", name, members=room.names())
        await listen(ws, room, name)
    finally:
        writing.cancel()
        room.members.remove(member)
        if room.members:
            await room.tell_all("left", name, members=room.names())
        else:
            del rooms[room_name]
    return None


async def listen(ws: AsyncWebSocket, room: Room, name: str) -> None:
    async for text in ws:
        if isinstance(text, bytes):
            await ws.close(UNSUPPORTED, "send text")
        elif len(text) > MAX_TEXT:
            await ws.close(TOO_LARGE, f"at most {MAX_TEXT} characters")
        elif text.strip():
            await room.tell_all("said", name, text=text.strip())
