"""Autobahn's fuzzing client against a WebSocket that echoes, through a runtime and a worker.

    python -m tests.load.autobahn WSTEST                   all groups: 45 minutes
    python -m tests.load.autobahn WSTEST 1 2 7.1 --asgi    some, through an ASGI app

WSTEST is the command of the package autobahntestsuite, which needs Python 2.7. Fails if a case
fails, or is non-strict and not in MAY_BE_LAX.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.support.harness import running, write_app

GROUPS = "1 2 3 4 5 6 7 9 10 12 13".split()
# In these cases TCP's segmentation decides whether an echo is seen before the end.
MAY_BE_LAX = frozenset("3.2 3.3 4.1.3 4.1.4 4.2.3 4.2.4 5.15".split())
FINE = ("OK", "INFORMATIONAL")
FETCH = """
async def websocket(ws):
    async for message in ws:
        await ws.send(message)
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})
"""


def fuzz(wstest: str, groups: list[str], source: str) -> dict[str, dict[str, str]]:
    """What the fuzzing client reports on each case."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_app(folder / "apps" / "echo", {"app.py": source}, ttl="1d")
        env = {"RUNTIME_ENV": "production", "RUNTIME_LOG_LEVEL": "info"}
        with running(folder / "apps", env=env) as runtime:
            spec = {
                "outdir": str(folder / "reports"),
                "servers": [{"agent": "echo", "url": f"ws://127.0.0.1:{runtime.port}/echo/"}],
                "cases": [f"{group}.*" for group in groups],
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
            path = folder / "spec.json"
            path.write_text(json.dumps(spec))
            command = [wstest, "-m", "fuzzingclient", "-s", str(path)]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        cases: dict[str, dict[str, str]] = json.loads(
            (folder / "reports" / "index.json").read_text()
        )["echo"]
        return cases


def is_good(case: str, result: dict[str, str]) -> bool:
    if result["behaviorClose"] not in FINE:
        return False
    return result["behavior"] in FINE or (result["behavior"] == "NON-STRICT" and case in MAY_BE_LAX)


def main() -> int:
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("wstest")
    parser.add_argument("groups", nargs="*", default=GROUPS)
    parser.add_argument("--asgi", action="store_true")
    args = parser.parse_args()
    cases = fuzz(args.wstest, args.groups, ASGI if args.asgi else FETCH)
    print(dict(Counter(result["behavior"] for result in cases.values())))
    bad = [case for case, result in cases.items() if not is_good(case, result)]
    for case in bad:
        print(case, cases[case]["behavior"], cases[case]["behaviorClose"])
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
