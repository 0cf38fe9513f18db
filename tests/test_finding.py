"""Twenty questions of a stranger, each with the module that answers it.

Somebody who did not move the modules wrote the questions before the modules had folders. If you
change a path here, ask: would a stranger who sees only the file names still open that file first?
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "buntime"

# (question, module, the function in it that answers the question)
PAIRS = [
    (
        "Where is the size line of a chunk in a chunked request body checked?",
        "core/http1/chunks.py",
        "_begin_chunk",
    ),
    (
        (
            "Where is a request refused that has both Content-Length and Transfer-Encoding "
            "(request smuggling)?"
        ),
        "core/http1/framing.py",
        "read_framing",
    ),
    (
        (
            "Where is it worked out which deployed version of an app a URL with a range such "
            "as ^1.2 means?"
        ),
        "core/apps/versions.py",
        "select",
    ),
    (
        (
            "Where is it decided how much of X-Forwarded-For is believed, and which address "
            "counts as the client's?"
        ),
        "core/http1/forwarded.py",
        "_follow",
    ),
    (
        (
            "All worker slots are taken and another app needs one: where is it decided whose "
            "worker has to go?"
        ),
        "core/pool/room.py",
        "evict",
    ),
    (
        (
            "Where is it decided that a silent WebSocket client has left too many pings "
            "unanswered and is dead?"
        ),
        "core/websocket/heartbeat.py",
        "due",
    ),
    (
        (
            "Where is the Cache-Control value of a static file chosen: immutable for a year, "
            "or revalidate each time?"
        ),
        "core/sites/cachecontrol.py",
        "cache_control",
    ),
    (
        (
            "Where is it decided that a worker which was told to end, and has not exited "
            "after the grace period, gets SIGKILL?"
        ),
        "server/pool/supervisor.py",
        "_kill_if_there",
    ),
    (
        (
            "After the last answer, where is the client's socket half-closed and what still "
            "arrives thrown away, so that a TCP reset does not destroy the answer?"
        ),
        "server/http1/connection.py",
        "_do_rare",
    ),
    (
        (
            "Where is it prevented that a symbolic link in a static site's folder leads to a "
            "file outside of that folder?"
        ),
        "server/sites/confined.py",
        "open_inside",
    ),
    (
        (
            "An app has double-forked a daemon, and its worker is gone: where is that daemon "
            "found and killed?"
        ),
        "server/pool/orphans.py",
        "_judge",
    ),
    (
        (
            "Where is it decided which Python executable an app's workers run with: its "
            ".venv, one on the PATH, or the default?"
        ),
        "server/pythons/interpreter.py",
        "_choose",
    ),
    (
        "Where is a log file that has grown to its maximum size renamed to .1 and a new one begun?",
        "server/telemetry/logfile.py",
        "_rotate",
    ),
    (
        (
            "Where is it decided whether an incoming request goes to the server's own pages, "
            "to a static site, or to workers?"
        ),
        "server/pipeline/pipeline.py",
        "handle",
    ),
    (
        (
            "Where are a request's headers turned into HTTP_* variables, beside SCRIPT_NAME "
            "and PATH_INFO?"
        ),
        "worker/wsgi.py",
        "environ_of",
    ),
    (
        "Where is a comment sent on a quiet server-sent event stream, so that no proxy cuts it?",
        "worker/eventkeepalive.py",
        "beat",
    ),
    (
        (
            "Where is it decided whether the app object that a module exports is a WSGI or an "
            "ASGI app?"
        ),
        "worker/appkind.py",
        "is_asgi",
    ),
    (
        "Where is an uploaded multipart/form-data body split into its parts?",
        "sdk/forms.py",
        "parse_multipart",
    ),
    (
        (
            "Where is the byte stream between the server's process and a worker's cut into "
            "messages again?"
        ),
        "wire.py",
        "feed",
    ),
    (
        (
            "Where is the command that a container's liveness probe runs: it sends a GET to "
            "the running server and exits with 0 or 1?"
        ),
        "commands/health.py",
        "ask",
    ),
]


@pytest.mark.parametrize(("question", "path", "function"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_the_answer_is_there(question: str, path: str, function: str) -> None:
    """The module has the path of its row, and contains the function that answers the question."""
    tree = ast.parse((PACKAGE / path).read_bytes())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert function in functions, question
