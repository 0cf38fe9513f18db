"""The apps under chaos, and how they change while they serve.

Every app answers the same paths, whatever it is written with. A client can compute each answer, so
it checks each byte:

    GET  /small/ID/SIZE   `payload("APP:ID", SIZE)`, in one piece, some milliseconds later
    GET  /big/ID/SIZE     the same, streamed
    POST /echo/ID         the body, once it is there
    POST /upload/ID       the body, piece by piece as it comes
    WS   /ws/ID           every message

Each answer has `x-generation`, the number of the code that gave it. A POST writes its id into the
ledger when the app's code runs, so a POST that runs twice is in the ledger twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST = 1  # the first generation
GENERATION_FILE = "part.py"  # imported by the app, and edited in development
# bytes of a streamed part: not a divisor of the channel's windows
_PIECE = 50_000

COMMON = f"""
import hashlib, os, time
import part

NAME = os.environ["APP_NAME"]
HEADERS = {{"x-generation": str(part.GENERATION)}}

def payload(seed, size):
    return hashlib.shake_128(f"{{NAME}}:{{seed}}".encode()).digest(size)

def pieces(data):
    for at in range(0, len(data), {_PIECE}):
        yield data[at:at + {_PIECE}]

def pause(seed):
    return seed.__hash__() % int(os.environ["PAUSE_MS"]) / 1000

def note(name):
    fd = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{{name}} {{os.getpid()}}\\n".encode())
    os.close(fd)
"""

SYNC = (
    COMMON
    + """
from buntime import Response

def fetch(request):
    _, kind, name, *size = request.path.split("/")
    if kind == "small":
        time.sleep(pause(name))
        return Response(payload(name, int(size[0])), headers=HEADERS)
    if kind == "big":
        return Response(pieces(payload(name, int(size[0]))), headers=HEADERS)
    note(name)
    if kind == "upload":
        return Response(request.stream(), headers=HEADERS)
    body = request.bytes()
    time.sleep(pause(name))
    return Response(body, headers=HEADERS)
"""
)

ASYNC = (
    COMMON
    + """
import asyncio
from buntime import Response

async def apieces(data):
    for piece in pieces(data):
        yield piece

async def fetch(request):
    _, kind, name, *size = request.path.split("/")
    if kind == "small":
        await asyncio.sleep(pause(name))
        return Response(payload(name, int(size[0])), headers=HEADERS)
    if kind == "big":
        return Response(apieces(payload(name, int(size[0]))), headers=HEADERS)
    note(name)
    if kind == "upload":
        return Response(request.stream(), headers=HEADERS)
    body = await request.bytes()
    await asyncio.sleep(pause(name))
    return Response(body, headers=HEADERS)

async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
)

WSGI = (
    COMMON
    + """
def stream(body):
    while piece := body.read(60_000):
        yield piece

def application(environ, start_response):
    _, kind, name, *size = environ["PATH_INFO"].split("/")
    head = [*HEADERS.items(), ("content-type", "application/octet-stream")]
    if kind == "small":
        time.sleep(pause(name))
        start_response("200 OK", head)
        return [payload(name, int(size[0]))]
    if kind == "big":
        start_response("200 OK", head)
        return pieces(payload(name, int(size[0])))
    note(name)
    if kind == "upload":
        start_response("200 OK", head)
        return stream(environ["wsgi.input"])
    body = environ["wsgi.input"].read()
    time.sleep(pause(name))
    start_response("200 OK", head)
    return [body]
"""
)

ASGI = (
    COMMON
    + """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)

async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})

async def answer(scope, receive, send):
    path = scope["path"].removeprefix(scope["root_path"])
    _, kind, name, *size = path.split("/")
    head = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
    start = {"type": "http.response.start", "status": 200, "headers": head}
    if kind == "small":
        await asyncio.sleep(pause(name))
        await send(start)
        await send({"type": "http.response.body", "body": payload(name, int(size[0]))})
        return
    if kind == "big":
        await send(start)
        for piece in pieces(payload(name, int(size[0]))):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
        return
    note(name)
    whole = []
    if kind == "upload":
        await send(start)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if kind == "upload":
            await send({"type": "http.response.body", "body": message["body"], "more_body": True})
        else:
            whole.append(message["body"])
        if not message.get("more_body"):
            break
    if kind == "echo":
        await asyncio.sleep(pause(name))
        await send(start)
    await send({"type": "http.response.body", "body": b"".join(whole)})
"""
)

BROKEN = "def broken(:\n"
SITE = "site"  # has no process
SITE_BYTES = 700_000


def payload(app: str, seed: str, size: int) -> bytes:
    """What `app` answers to a GET with this id (`seed`)."""
    return hashlib.shake_128(f"{app}:{seed}".encode()).digest(size)


def site_page(generation: int) -> bytes:
    """The static site's file in one generation."""
    return b"%d\n" % generation + payload(SITE, str(generation), SITE_BYTES)


@dataclass
class ChaosApp:
    """One app: its folders, and when each generation was put there."""

    name: str
    code: str
    manifest: dict[str, object]
    generation: int = FIRST
    # generation -> when it was there, in monotonic seconds
    deployed: dict[int, float] = field(default_factory=dict)
    broken_from: float | None = None  # set while a broken version is the newest
    broken_until: float = 0.0  # when the last broken version went
    touches: int = 0

    def expected(self, started_s: float, grace_s: float) -> tuple[int, int]:
        """The oldest and newest generation that may answer a request begun at `started_s`."""
        settled = [number for number, at in self.deployed.items() if at + grace_s <= started_s]
        return max(settled, default=FIRST), self.generation

    def may_be_broken(self, started_s: float, ended_s: float, grace_s: float) -> bool:
        """Whether the newest version may have been broken at some time during the request."""
        if self.broken_from is not None:
            return ended_s >= self.broken_from
        return started_s <= self.broken_until + grace_s


class Deployer:
    """Writes the apps, and changes them as an operator or an author does.

    Everything appears whole: a folder by its rename, a file by replacing another one.
    """

    def __init__(self, folder: Path, ledger: Path, *, pause_ms: int = 25) -> None:
        """Small answers take up to `pause_ms`, so that a worker can be killed meanwhile."""
        self.apps: dict[str, ChaosApp] = {}
        self._pause_ms = pause_ms
        self._folder = folder
        self._ledger = ledger
        ledger.touch()  # a sandbox opens only what exists

    def add(self, name: str, code: str, **manifest: object) -> ChaosApp:
        """Add an app, in its first version."""
        app = self.apps[name] = ChaosApp(name, code, manifest)
        self._write_version(app, app.generation)
        return app

    def new_version(self, app: ChaosApp) -> None:
        """Add a folder with a higher version."""
        app.generation += 1
        self._write_version(app, app.generation)
        self._remove_old(app)

    def edit(self, app: ChaosApp) -> None:
        """Change the code in place."""
        folder = self._newest(app)
        app.generation += 1
        if app.name == SITE:
            replace(folder / "page.bin", site_page(app.generation))
        else:
            replace(folder / GENERATION_FILE, f"GENERATION = {app.generation}\n".encode())
        app.deployed[app.generation] = time.monotonic()

    def touch(self, app: ChaosApp) -> None:
        """Change a variable in the manifest."""
        app.touches += 1
        self._write_manifest(self._newest(app), app)

    def break_version(self, app: ChaosApp) -> Path:
        """Add a higher version that cannot be loaded; returns its folder."""
        app.broken_from = time.monotonic()
        app.generation += 1
        return self._write_version(app, app.generation, {"app.py": BROKEN})

    def break_file(self, app: ChaosApp) -> None:
        """Break a file that the app imports, so that it no longer compiles."""
        app.broken_from = time.monotonic()
        replace(self._newest(app) / GENERATION_FILE, BROKEN.encode())

    def take_back(self, app: ChaosApp, folder: Path | None) -> None:
        """Remove the broken version, or mend the broken file if there is no folder."""
        if folder is not None:
            self._remove(folder)
        else:
            self.edit(app)
        app.broken_until = time.monotonic()
        app.broken_from = None

    def _newest(self, app: ChaosApp) -> Path:
        versions = [number for number in app.deployed if self._path(app, number).is_dir()]
        return self._path(app, max(versions))

    def _path(self, app: ChaosApp, generation: int) -> Path:
        return self._folder / f"{app.name}@1.{generation}.0"

    def _write_version(
        self, app: ChaosApp, generation: int, changed: Mapping[str, str] | None = None
    ) -> Path:
        target = self._path(app, generation)
        folder = target.with_name(f".new-{target.name}")
        folder.mkdir()
        if app.name == SITE:
            (folder / "index.html").write_text("<p>site")
            (folder / "page.bin").write_bytes(site_page(generation))
        else:
            files = {"app.py": app.code, GENERATION_FILE: f"GENERATION = {generation}\n"}
            for name, text in {**files, **(changed or {})}.items():
                (folder / name).write_text(text)
            self._write_manifest(folder, app)
        folder.rename(target)
        if changed is None:
            app.deployed[generation] = time.monotonic()
        return target

    def _write_manifest(self, folder: Path, app: ChaosApp) -> None:
        if app.name == SITE:
            return
        env = {
            "LEDGER": str(self._ledger),
            "APP_NAME": app.name,
            "PAUSE_MS": str(self._pause_ms),
            "TOUCHED": str(app.touches),
        }
        manifest = {**app.manifest, "env": env, "write": [str(self._ledger)]}
        replace(folder / "buntime.yaml", json.dumps(manifest).encode())

    def _remove_old(self, app: ChaosApp) -> None:
        """Of the old versions keep the first, for clients that pin it, and the last three."""
        for number in sorted(app.deployed)[1:-3]:
            if self._path(app, number).is_dir():
                self._remove(self._path(app, number))

    def _remove(self, folder: Path) -> None:
        """Hide a folder at once, then remove it from disk."""
        away = folder.with_name(f".old-{folder.name}")
        folder.rename(away)
        shutil.rmtree(away)


def replace(path: Path, data: bytes) -> None:
    """Make a file appear whole, in place of another one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
