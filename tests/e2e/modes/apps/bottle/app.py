"""A shop in Bottle."""

import hashlib
import os
from collections import defaultdict
from pathlib import Path
from threading import Event

from bottle import Bottle, abort, redirect, request, response, static_file, template

HERE = Path(__file__).parent
SECRET = "for tests only"
PAGE = """<!doctype html>
<title>{{name}}</title>
<link rel="stylesheet" href="{{url('static', path='style.css')}}">
<h1>{{name}}</h1>
<a href="{{url('item', item=7)}}">Item 7</a>
<a href="{{url('greet', name='Zoe')}}">Greet</a>
<a href="{{url('folder')}}">Folder</a>
"""

app = Bottle()
gates = defaultdict(Event)


@app.get("/")
def index():
    return template(PAGE, name="Zoë & co", url=app.get_url)


@app.get("/static/<path:path>", name="static")
def static(path):
    return static_file(path, root=HERE / "static")


@app.get("/items/<item:int>", name="item")
def show_item(item):
    return {
        "item": item,
        "args": [list(pair) for pair in request.query.decode().allitems()],
        "url": request.urlparts._replace(path=app.get_url("item", item=item), query="").geturl(),
        "worker": os.environ["WORKER_ID"],
    }


@app.get("/greet/<name>", name="greet")
def greet(name):
    return {"name": name, "url": app.get_url("greet", name=name)}


@app.get("/old")
def old():
    redirect(app.get_url("item", item=7))


@app.get("/folder/", name="folder")
def folder():
    return "a folder\n"


@app.route("/cookies", method=["GET", "POST", "DELETE"])
def cookies():
    if request.method == "POST":
        response.set_cookie("taste", "sweet", max_age=3600)
        response.set_cookie("shape", "round", path=request.script_name, httponly=True)
    if request.method == "DELETE":
        response.delete_cookie("taste")
    return dict(request.cookies)


@app.post("/form")
def form():
    fields = request.forms.decode()
    return {"name": fields["name"], "colors": fields.getall("color")}


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.file.read()
    return {
        "filename": file.raw_filename,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "note": request.forms["note"],
    }


@app.post("/json")
def echo_json():
    if request.json is None:
        abort(415, "JSON, please")
    return {"got": request.json}


@app.get("/stream/<key>")
def stream(key):
    response.content_type = "text/plain"
    yield "first\n"
    assert gates[key].wait(10), "nobody opened the gate"
    yield "second\n"


@app.post("/stream/<key>")
def open_gate(key):
    gates[key].set()
    response.status = 204


@app.post("/visits")
def visits():
    count = int(request.get_cookie("visits", default="0", secret=SECRET)) + 1
    response.set_cookie("visits", str(count), secret=SECRET)
    return {"visits": count}


@app.get("/fail")
def fail():
    raise RuntimeError("no such luck")
