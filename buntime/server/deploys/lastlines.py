"""The last lines that an app has printed, to explain why its deploy has failed."""

import json

from buntime.server.telemetry.applogs import AppLogs

WAIT_S = 0.1  # between looks whether the log's thread has written what was printed
LOOKS_MAX = 10
LINES_MAX = 20


def last_lines(logs: AppLogs, app: str, version: str, since: int) -> list[str]:
    """The last lines that the version has printed after this number of the log.

    Call it in a thread: the log's own thread may hold the lock.
    """
    with logs.lock:
        ring = logs.rings.get(app)
        found = [] if ring is None else ring.after(since)
    records = [json.loads(line) for line in found if b'"app.output"' in line]
    messages = [each["message"] for each in records if each.get("version") == (version or None)]
    return messages[-LINES_MAX:]
