"""Where an app hangs that does not finish loading, found in the stacks of its worker.

    Thread 0x00007f40e77ffb80 (most recent call first):
      File "/usr/lib/python3.11/socketserver.py", line 233 in serve_forever
      File "/srv/apps/shop/app.py", line 12 in <module>
      ...

The thread that loads it comes first, then the tasks of its event loop, then all others. The app's
own line among these shows where it hangs, and what that line called shows why: most often a server
of its framework.
"""

import re

from buntime.core.values.regex import regex

_FRAME = regex(r'^  File "(.*)", line (\d+) in (.*)$')
_LOADS = "/buntime/worker/main.py"  # a file of the thread that loads the app
# Folders inside an app's folder with code written by others.
_OF_OTHERS = regex(r"/(site-packages|dist-packages|vendor|node_modules)/")
# Functions in which a framework's own server runs, or waits for a client.
_SERVERS = regex(
    r"/(socketserver|http/server|wsgiref/simple_server|werkzeug/serving|flask/app|uvicorn/\w+"
    r"|hypercorn/.*|waitress/\w+|tornado/\w+|aiohttp/web|gunicorn/.*|granian/.*|daphne/\w+"
    r"|cherrypy/.*|cheroot/.*|gevent/(pywsgi|baseserver)|eventlet/wsgi|sanic/.*|gradio/blocks"
    r"|bottle|nicegui/.*|dash/dash|socketio/.*)\.py$"
)


def where(stacks: str, folder: str) -> str:
    """Say where it hangs, and what to do about it; "" where the stacks do not show it.

    `folder` is the app's, with a path that begins as in the stacks.
    """
    for section in _in_order(stacks):
        above: list[str] = []  # what the app's line called
        for line in section.splitlines():
            found = _FRAME.match(line)
            if found is None:
                continue
            file, number, function = found.groups()
            if file.startswith(f"{folder}/") and not _OF_OTHERS.search(file[len(folder) :]):
                place = f"{file[len(folder) + 1 :]}, line {number}, in {function}"
                return place + _advice(above)
            above.append(file)
    return ""


def _in_order(stacks: str) -> list[str]:
    sections = re.split(r"\n(?=\S)", stacks)
    return sorted(sections, key=_rank)


def _rank(section: str) -> int:
    if section.startswith("Task "):
        return 1
    return 0 if _LOADS in section else 2


def _advice(called: list[str]) -> str:
    if not any(_SERVERS.search(file) for file in called):
        return ""
    return (
        ": it starts a server of its own, which never returns; the runtime is the server here, so "
        'leave that to `if __name__ == "__main__":` and have the module define app'
    )
