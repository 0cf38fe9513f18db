"""Times answers to clients that do nothing wrong."""

from __future__ import annotations

import http.client
import select
import time
from dataclasses import dataclass

EVERY_S = 0.01
LATE_S = 10.0  # an answer that never comes counts as this late


@dataclass(frozen=True)
class Timing:
    """Seconds that answers took, and how many did not come or were wrong."""

    seconds: tuple[float, ...]
    failures: int

    @property
    def p99_s(self) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def time_answers(port: int, path: str, seconds: float) -> Timing:
    """Send requests again and again, on a kept connection and on new ones in turn.

    A kept connection that was closed between two requests is replaced, as clients do. If it is
    closed once a request has been sent, that is a failure.
    """
    stays = http.client.HTTPConnection("127.0.0.1", port, timeout=LATE_S)
    taken: list[float] = []
    failures = 0
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        fresh = http.client.HTTPConnection("127.0.0.1", port, timeout=LATE_S)
        client = stays if number % 2 else fresh
        begun = time.monotonic()
        if client.sock is not None and select.select([client.sock], [], [], 0)[0]:
            client.close()  # nothing but its end can have come
        try:
            client.request("GET", path)
            with client.getresponse() as answer:
                is_right = answer.status == 200 and answer.read() == b"fine"
        except (OSError, http.client.HTTPException):
            is_right = False
            client.close()
        passed = time.monotonic() - begun
        taken.append(passed if is_right else LATE_S)
        failures += not is_right
        fresh.close()
        time.sleep(max(0.0, EVERY_S - passed))
    stays.close()
    return Timing(tuple(taken), failures)
