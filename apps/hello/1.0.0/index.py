"""Greets its visitors: one function from a Request to a Response is a whole app.

    curl http://localhost:8000/hello@1/
    curl http://localhost:8000/hello@1/?name=Ada

There is a newer version in the folder next to this one: /hello/ is the newest, /hello@1/ this one.
"""

from buntime import Request, Response


def fetch(request: Request) -> Response:
    name = request.query.get("name") or "world"
    return Response(f"Hello, {name}!\n")
