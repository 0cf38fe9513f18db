"""The views behind one function."""

from views import VIEWS, seen

from buntime import Request, Response


def fetch(request: Request) -> Response:
    view = seen if request.path.startswith("/seen") else VIEWS.get(request.path)
    return view(request) if view else Response("there is nothing here\n", status=404)
