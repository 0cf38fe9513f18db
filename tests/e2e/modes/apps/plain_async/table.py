"""The views behind a table of routes, plain functions among them, and what only a table can do."""

from views import HERE, VIEWS, forgotten_await, plain_json, plain_pieces, seen

from buntime import Response

routes = {
    **VIEWS,
    "/": Response.html("<h1>The table</h1>"),
    "/leaf": Response.file(HERE / "leaf.svg"),
    "/users/:id": seen,
    "/users/me": Response("it is you\n"),
    "/users/:id/posts/:post": {"GET": seen, "DELETE": seen},
    "/seen/*": seen,
    "/methods": {"GET": Response("got\n"), "PUT": seen, "*": Response("another\n", 202)},
    "/plain/pieces": plain_pieces,
    "/plain/json": plain_json,
    "/wrong/forgotten-await": forgotten_await,
}
