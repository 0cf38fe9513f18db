"""A shop in Quart."""

import asyncio
import hashlib
import os
from collections import defaultdict

from quart import (
    Quart,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)

app = Quart(__name__)
app.secret_key = "for tests only"

gates = defaultdict(asyncio.Event)


@app.get("/")
async def index():
    return await render_template("page.html", name="Zoë & co")


@app.get("/items/<int:item>")
async def show_item(item):
    return jsonify(
        item=item,
        args=list(request.args.items(multi=True)),
        url=url_for("show_item", item=item, _external=True),
        worker=os.environ["WORKER_ID"],
    )


@app.get("/greet/<name>")
async def greet(name):
    return jsonify(name=name, url=url_for("greet", name=name))


@app.get("/old")
async def old():
    return redirect(url_for("show_item", item=7))


@app.get("/folder/")
async def folder():
    return "a folder\n"


@app.route("/cookies", methods=["GET", "POST", "DELETE"])
async def cookies():
    answer = await make_response(jsonify(request.cookies))
    if request.method == "POST":
        answer.set_cookie("taste", "sweet", max_age=3600)
        answer.set_cookie("shape", "round", path=url_for("index"), httponly=True)
    if request.method == "DELETE":
        answer.delete_cookie("taste")
    return answer


@app.post("/form")
async def form():
    fields = await request.form
    return jsonify(name=fields["name"], colors=fields.getlist("color"))


@app.post("/upload")
async def upload():
    file = (await request.files)["file"]
    data = file.read()
    return jsonify(
        filename=file.filename,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        note=(await request.form)["note"],
    )


@app.put("/raw")
async def raw():
    digest = hashlib.sha256()
    async for piece in request.body:
        digest.update(piece)
    return digest.hexdigest()


@app.post("/json")
async def echo_json():
    return jsonify(got=await request.get_json())


@app.get("/stream/<key>")
async def stream(key):
    async def pieces():
        yield "first\n"
        await asyncio.wait_for(gates[key].wait(), 10)
        yield "second\n"

    return pieces(), {"Content-Type": "text/plain"}


@app.post("/stream/<key>")
async def open_gate(key):
    gates[key].set()
    return "", 204


@app.post("/visits")
async def visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.get("/fail")
async def fail():
    raise RuntimeError("no such luck")
