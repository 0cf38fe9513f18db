"""Greets whoever asks: one function from a Request to a Response is a whole app.

    curl http://localhost:8000/hello@1/
    curl http://localhost:8000/hello@1/?name=Ada

A newer version stands in the folder beside; /hello/ is the newest, /hello@1/ stays with this one.
"""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    name = request.query.get("name") or "world"
    return Response(f"Hello, {name}!\n")
