"""What `buntime new` writes: the files and their content, by kind of app, and for a plugin."""

_FETCH = '''\
"""A first app: `fetch` answers every request to it. Each gets a process of its own."""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    name = request.query.get("name", "world")
    return Response.html(f"<h1>Hello, {escape(name)}!</h1>\\n")


def escape(text: str) -> str:
    """What a visitor sends must not become a part of the page."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
'''

_WSGI = '''\
"""A first WSGI app. Flask, Django and Bottle have such an `app` too: Flask(__name__)."""


def app(environ, start_response):
    body = f"Hello from {environ['SCRIPT_NAME']}{environ['PATH_INFO']}\\n".encode("latin-1")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
'''

_ASGI = '''\
"""A first ASGI app. FastAPI, Starlette and Quart have such an `app` too: FastAPI()."""


async def app(scope, receive, send):
    if scope["type"] != "http":  # no WebSocket here, and nothing to do at the start and the end
        raise NotImplementedError(scope["type"])
    body = f"Hello from {scope['path']}\\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
'''

_MANIFEST = """\
# A worker stays for an hour and takes request after request. Without this line each request gets
# a process of its own.
ttl: 1h
"""

_PAGE = """\
<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width">
    <title>Hello</title>
    <link rel="stylesheet" href="style.css">
  </head>
  <body>
    <h1>Hello, world!</h1>
  </body>
</html>
"""

_STYLE = """\
body {
  max-width: 40rem;
  margin: 4rem auto;
  font-family: system-ui, sans-serif;
}
"""

KINDS = {
    "fetch": {"index.py": _FETCH},
    "wsgi": {"app.py": _WSGI, "buntime.yaml": _MANIFEST},
    "asgi": {"app.py": _ASGI, "buntime.yaml": _MANIFEST},
    "static": {"index.html": _PAGE, "style.css": _STYLE},
}

_PLUGIN = '''\
"""A first plugin: it counts the requests of all apps, marks their answers, and has a page."""

from buntime.plugin import Response, plugin

counts = {}  # the plugin has one process, so this lives as long as it does


def on_request(request):
    """Called before an app gets a request. None: it goes on; a Response would be the answer."""
    counts[request.app] = counts.get(request.app, 0) + 1


def on_response(request, response):
    """Called before the answer leaves."""
    response.headers["x-counted-by"] = plugin.name


def fetch(request):
    """The page, at the plugin's base."""
    return Response.json(counts)
'''

_PLUGIN_MANIFEST = """\
# docs/plugins.md has all keys.
name: "{name}"
version: 0.1.0
base: /{base}
visibility: public   # without this line its page needs a key
"""


def plugin_files(name: str) -> dict[str, str]:
    """The files of a first plugin: "audit", "@acme/audit"."""
    manifest = _PLUGIN_MANIFEST.format(name=name, base=name.rpartition("/")[2])
    return {"plugin.py": _PLUGIN, "buntime.yaml": manifest}
