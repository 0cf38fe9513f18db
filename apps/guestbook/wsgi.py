"""A guestbook in plain WSGI, the interface that Flask, Django and Bottle speak too.

    curl http://localhost:8000/guestbook/
    curl http://localhost:8000/guestbook/ -d name=Ada -d message="I was here"

SCRIPT_NAME is the path under which the app is mounted, PATH_INFO is what follows it.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

ENTRIES = Path(__file__).parent / "data" / "entries.jsonl"
SHOWN = 50
MAX_NAME, MAX_MESSAGE = 60, 500

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guestbook</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto;
         padding: 0 1rem; }}
  input, textarea, button {{ font: inherit; display: block; width: 100%; box-sizing: border-box;
                            margin: .5rem 0; padding: .4rem .7rem; }}
  article {{ border-top: 1px solid #8884; padding: .5rem 0; overflow-wrap: anywhere; }}
  time {{ opacity: .6; font-size: .85rem; }}
  article p {{ white-space: pre-line; margin: .2rem 0; }}
</style>
<h1>Guestbook</h1>
<form method="post" action="{action}">
  <input name="name" placeholder="Your name" aria-label="Your name" maxlength="60" required>
  <textarea name="message" rows="3" placeholder="Your message" aria-label="Your message"
            maxlength="500" required></textarea>
  <button>Sign</button>
</form>
{entries}
</html>
"""
ENTRY = "<article><b>{name}</b> <time>{time}</time><p>{message}</p></article>"

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ.get("PATH_INFO", "") not in ("", "/"):
        return answer(start_response, "404 Not Found", "There is one page only.\n")
    if environ["REQUEST_METHOD"] == "POST":
        return sign(environ, start_response)
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        allow = ("Allow", "GET, HEAD, POST")
        return answer(start_response, "405 Method Not Allowed", "Read or sign.\n", [allow])
    entries = "\n".join(ENTRY.format(**escaped(entry)) for entry in newest())
    body = PAGE.format(action=escape(home(environ)), entries=entries or "<p>Be the first.</p>")
    return answer(start_response, "200 OK", body, content_type="text/html")


def sign(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Add the entry in the form, then send the browser back to the page."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    form = parse_qs(body.decode("utf-8", "replace"))
    name, message = (form.get(field, [""])[0].strip() for field in ("name", "message"))
    if not 0 < len(name) <= MAX_NAME or not 0 < len(message) <= MAX_MESSAGE:
        return answer(start_response, "400 Bad Request", "A name and a short message, please.\n")
    time = datetime.now(UTC).isoformat(timespec="minutes")
    ENTRIES.parent.mkdir(exist_ok=True)
    with ENTRIES.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"name": name, "message": message, "time": time}) + "\n")
    return answer(start_response, "303 See Other", "", [("Location", home(environ))])


def home(environ: Environ) -> str:
    return environ.get("SCRIPT_NAME", "") + "/"


def newest() -> list[dict[str, str]]:
    if not ENTRIES.exists():
        return []
    lines = ENTRIES.read_text("utf-8").splitlines()
    return [json.loads(line) for line in reversed(lines[-SHOWN:])]


def escaped(entry: dict[str, str]) -> dict[str, str]:
    return {field: escape(text) for field, text in entry.items()}


def answer(
    start_response: StartResponse,
    status: str,
    text: str,
    headers: Iterable[tuple[str, str]] = (),
    *,
    content_type: str = "text/plain",
) -> Iterable[bytes]:
    body = text.encode()
    sent = [("Content-Type", f"{content_type}; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*sent, *headers])
    return [body]
