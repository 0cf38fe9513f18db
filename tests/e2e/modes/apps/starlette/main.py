"""A shop in Starlette."""

import asyncio
import contextlib
import hashlib
import os
from collections import defaultdict
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HERE = Path(__file__).parent
PAGE = """<!doctype html>
<title>Zoë &amp; co</title>
<link rel="stylesheet" href="{style}">
<h1>Zoë &amp; co</h1>
<a href="{item}">Item 7</a>
<a href="{greet}">Greet</a>
<a href="{folder}">Folder</a>
"""

gates = defaultdict(asyncio.Event)


@contextlib.asynccontextmanager
async def lifespan(app):
    print("the shop opens")
    yield {"opened_by": os.environ["WORKER_ID"]}
    print("the shop closes")


async def index(request):
    page = PAGE.format(
        style=request.url_for("static", path="style.css"),
        item=request.url_for("item", item=7),
        greet=request.url_for("greet", name="Zoë & co"),
        folder=request.url_for("folder"),
    )
    return HTMLResponse(page)


async def show_item(request):
    item = request.path_params["item"]
    return JSONResponse(
        {
            "item": item,
            "args": request.query_params.multi_items(),
            "url": str(request.url_for("item", item=item)),
            "worker": request.state.opened_by,
        }
    )


async def greet(request):
    name = request.path_params["name"]
    return JSONResponse({"name": name, "url": request.url_for("greet", name=name).path})


async def old(request):
    return RedirectResponse(request.url_for("item", item=7), status_code=302)


def folder(request):
    return PlainTextResponse("a folder\n")


async def cookies(request):
    answer = JSONResponse(request.cookies)
    if request.method == "POST":
        answer.set_cookie("taste", "sweet", max_age=3600)
        answer.set_cookie("shape", "round", path=request.url_for("index").path, httponly=True)
    if request.method == "DELETE":
        answer.delete_cookie("taste")
    return answer


async def form(request):
    async with request.form() as fields:
        return JSONResponse({"name": fields["name"], "colors": fields.getlist("color")})


async def upload(request):
    async with request.form() as fields:
        file = fields["file"]
        data = await file.read()
        return JSONResponse(
            {
                "filename": file.filename,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "note": fields["note"],
            }
        )


async def raw(request):
    digest = hashlib.sha256()
    async for piece in request.stream():
        digest.update(piece)
    return PlainTextResponse(digest.hexdigest())


async def echo_json(request):
    try:
        value = await request.json()
    except ValueError:
        return PlainTextResponse("JSON, please\n", status_code=400)
    return JSONResponse({"got": value})


async def stream(request):
    key = request.path_params["key"]

    async def pieces():
        yield "first\n"
        await asyncio.wait_for(gates[key].wait(), 10)
        yield "second\n"

    return StreamingResponse(pieces(), media_type="text/plain")


async def open_gate(request):
    gates[request.path_params["key"]].set()
    return Response(status_code=204)


async def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"visits": request.session["visits"]})


def fail(request):
    raise RuntimeError("no such luck")


app = Starlette(
    routes=[
        Route("/", index, name="index"),
        Route("/items/{item:int}", show_item, name="item"),
        Route("/greet/{name}", greet, name="greet"),
        Route("/old", old),
        Route("/folder/", folder, name="folder"),
        Route("/cookies", cookies, methods=["GET", "POST", "DELETE"]),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/raw", raw, methods=["PUT"]),
        Route("/json", echo_json, methods=["POST"]),
        Route("/stream/{key}", stream),
        Route("/stream/{key}", open_gate, methods=["POST"]),
        Route("/visits", visits, methods=["POST"]),
        Route("/fail", fail),
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key="for tests only")],
    lifespan=lifespan,
)
