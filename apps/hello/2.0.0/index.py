"""Greets its visitors: browsers with a page, programs with JSON.

curl http://localhost:8000/hello/
curl http://localhost:8000/hello/?name=Ada
curl -H "Accept: text/html" http://localhost:8000/hello/
"""

from html import escape

from buntime import Request, Response

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Hello</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1.1rem/1.6 system-ui, sans-serif; display: grid; place-content: center;
         min-height: 90vh; text-align: center; }}
  h1 {{ font-size: 3rem; font-weight: 600; margin: 0 0 1rem; }}
  input {{ font: inherit; padding: .4rem .8rem; }}
</style>
<h1>Hello, {name}!</h1>
<form><input name="name" placeholder="Your name" autofocus aria-label="Your name"></form>
</html>
"""


def fetch(request: Request) -> Response:
    name = request.query.get("name") or "world"
    if "text/html" in request.headers.get("accept", ""):
        return Response.html(PAGE.format(name=escape(name)))
    return Response.json({"hello": name})
