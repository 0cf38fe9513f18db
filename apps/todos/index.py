"""A to-do list: routes, JSON, and a SQLite file in the app's own folder.

    curl http://localhost:8000/todos/api/todos
    curl http://localhost:8000/todos/api/todos -d '{"title": "Water the plants"}'
    curl http://localhost:8000/todos/api/todos/1 -X PATCH -d '{"done": true}'
    curl http://localhost:8000/todos/api/todos/1 -X DELETE

The page that uses it is at http://localhost:8000/todos/.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import escape
from pathlib import Path

from buntime import Request, Response

HERE = Path(__file__).parent
PAGE = (HERE / "page.html").read_text("utf-8")
DATABASE = HERE / "data" / "todos.db"
MAX_TITLE = 200


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """One transaction. Handlers run in threads, and each connection belongs to one thread."""
    with closing(sqlite3.connect(DATABASE)) as connection, connection:
        connection.row_factory = sqlite3.Row
        yield connection


def page(request: Request) -> Response:
    # With <base>, relative links work under any path: /todos, /todos/, /todos@1/.
    return Response.html(PAGE.replace("{{base}}", escape(request.base + "/")))


def list_todos(request: Request) -> Response:
    with database() as db:
        rows = db.execute("SELECT id, title, done FROM todos ORDER BY id").fetchall()
    return Response.json([as_json(row) for row in rows])


def add_todo(request: Request) -> Response:
    title = fields_of(request).get("title")
    if not isinstance(title, str) or not 0 < len(title.strip()) <= MAX_TITLE:
        return refuse(f"title must be a text of 1 to {MAX_TITLE} characters")
    with database() as db:
        insert = "INSERT INTO todos (title) VALUES (?) RETURNING id, title, done"
        row = db.execute(insert, [title.strip()]).fetchone()
    location = f"{request.base}/api/todos/{row['id']}"
    return Response.json(as_json(row), status=201, headers={"Location": location})


def change_todo(request: Request) -> Response:
    done = fields_of(request).get("done")
    if not isinstance(done, bool):
        return refuse("done must be true or false")
    with database() as db:
        update = "UPDATE todos SET done = ? WHERE id = ? RETURNING id, title, done"
        row = db.execute(update, [done, request.params["id"]]).fetchone()
    return Response.json(as_json(row)) if row else refuse("no such todo", status=404)


def remove_todo(request: Request) -> Response:
    with database() as db:
        removed = db.execute("DELETE FROM todos WHERE id = ?", [request.params["id"]]).rowcount
    return Response(status=204) if removed else refuse("no such todo", status=404)


def fields_of(request: Request) -> dict[str, object]:
    """The members of the JSON object in the body; empty if it is a list or another value."""
    value = request.json()  # if it is not JSON, the client gets 400
    return value if isinstance(value, dict) else {}


def as_json(row: sqlite3.Row) -> dict[str, object]:
    return {"id": row["id"], "title": row["title"], "done": bool(row["done"])}


def refuse(reason: str, status: int = 400) -> Response:
    return Response.json({"error": reason}, status=status)


routes = {
    "/": page,
    "/api/todos": {"GET": list_todos, "POST": add_todo},
    "/api/todos/:id": {"PATCH": change_todo, "DELETE": remove_todo},
}

DATABASE.parent.mkdir(exist_ok=True)
with database() as setup:
    setup.execute(
        "CREATE TABLE IF NOT EXISTS todos"
        " (id INTEGER PRIMARY KEY, title TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)"
    )
