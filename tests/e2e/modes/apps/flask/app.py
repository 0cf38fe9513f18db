"""A shop in Flask."""

import hashlib
import os
from collections import defaultdict
from threading import Event

from flask import (
    Flask,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)

app = Flask(__name__)
app.secret_key = "for tests only"
app.config["MAX_CONTENT_LENGTH"] = 16 * 1024 * 1024

gates = defaultdict(Event)


@app.get("/")
def index():
    return render_template("page.html", name="Zoë & co")


@app.get("/items/<int:item>")
def show_item(item):
    return jsonify(
        item=item,
        args=list(request.args.items(multi=True)),
        url=url_for("show_item", item=item, _external=True),
        worker=os.environ["WORKER_ID"],
    )


@app.get("/greet/<name>")
def greet(name):
    return jsonify(name=name, url=url_for("greet", name=name))


@app.get("/old")
def old():
    return redirect(url_for("show_item", item=7))


@app.get("/folder/")
def folder():
    return "a folder\n"


@app.route("/cookies", methods=["GET", "POST", "DELETE"])
def cookies():
    answer = make_response(jsonify(request.cookies))
    if request.method == "POST":
        answer.set_cookie("taste", "sweet", max_age=3600)
        answer.set_cookie("shape", "round", path=url_for("index"), httponly=True)
    if request.method == "DELETE":
        answer.delete_cookie("taste")
    return answer


@app.post("/form")
def form():
    return jsonify(name=request.form["name"], colors=request.form.getlist("color"))


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return jsonify(
        filename=file.filename,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        note=request.form["note"],
    )


@app.put("/raw")
def raw():
    digest = hashlib.sha256()
    while piece := request.stream.read(65536):
        digest.update(piece)
    return digest.hexdigest()


@app.post("/json")
def echo_json():
    return jsonify(got=request.get_json())


@app.get("/stream/<key>")
def stream(key):
    def pieces():
        yield "first\n"
        assert gates[key].wait(10), "nobody opened the gate"
        yield "second\n"

    return Response(pieces(), mimetype="text/plain")


@app.post("/stream/<key>")
def open_gate(key):
    gates[key].set()
    return "open\n"


@app.post("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.get("/fail")
def fail():
    raise RuntimeError("no such luck")
