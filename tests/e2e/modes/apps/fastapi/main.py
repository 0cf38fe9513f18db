"""A shop in FastAPI."""

import asyncio
import hashlib
import os
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.sessions import SessionMiddleware

HERE = Path(__file__).parent
PAGE = """<!doctype html>
<title>Zoë &amp; co</title>
<link rel="stylesheet" href="{style}">
<h1>Zoë &amp; co</h1>
<a href="{item}">Item 7</a>
<a href="{greet}">Greet</a>
<a href="{folder}">Folder</a>
"""

app = FastAPI(title="Shop")
app.add_middleware(SessionMiddleware, secret_key="for tests only")
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)


@app.get("/")
async def index(request: Request) -> HTMLResponse:
    page = PAGE.format(
        style=request.url_for("static", path="style.css"),
        item=request.url_for("show_item", item=7),
        greet=request.url_for("greet", name="Zoë & co"),
        folder=request.url_for("folder"),
    )
    return HTMLResponse(page)


@app.api_route("/items/{item}", methods=["GET", "HEAD"])
async def show_item(request: Request, item: int) -> dict[str, Any]:
    return {
        "item": item,
        "args": request.query_params.multi_items(),
        "url": str(request.url_for("show_item", item=item)),
        "worker": os.environ["WORKER_ID"],
    }


@app.get("/greet/{name}")
def greet(request: Request, name: str) -> dict[str, str]:
    return {"name": name, "url": request.url_for("greet", name=name).path}


@app.get("/old")
async def old(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("show_item", item=7), status_code=302)


@app.get("/folder/")
async def folder() -> str:
    return "a folder"


@app.api_route("/cookies", methods=["GET", "POST", "DELETE"])
async def cookies(request: Request, response: Response) -> dict[str, str]:
    if request.method == "POST":
        response.set_cookie("taste", "sweet", max_age=3600)
        response.set_cookie("shape", "round", path=request.url_for("index").path, httponly=True)
    if request.method == "DELETE":
        response.delete_cookie("taste")
    return request.cookies


@app.post("/form")
async def form(name: Annotated[str, Form()], color: Annotated[list[str], Form()]) -> dict[str, Any]:
    return {"name": name, "colors": color}


@app.post("/upload")
def upload(file: UploadFile, note: Annotated[str, Form()]) -> dict[str, Any]:
    data = file.file.read()
    return {
        "filename": file.filename,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "note": note,
    }


@app.put("/raw")
async def raw(request: Request) -> Response:
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return Response(digest.hexdigest())


@app.post("/json")
async def echo_json(value: dict[str, Any]) -> dict[str, Any]:
    return {"got": value}


@app.get("/stream/{key}")
async def stream(key: str) -> StreamingResponse:
    async def pieces():
        yield "first\n"
        await asyncio.wait_for(gates[key].wait(), 10)
        yield "second\n"

    return StreamingResponse(pieces(), media_type="text/plain")


@app.post("/stream/{key}", status_code=204)
async def open_gate(key: str) -> None:
    gates[key].set()


@app.post("/visits")
async def visits(request: Request) -> dict[str, int]:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@app.get("/fail")
def fail() -> None:
    raise RuntimeError("no such luck")
