"""Shows when its job ran: the runtime requests /beat every quarter of an hour.

curl http://localhost:8000/pulse/
buntime cron list
buntime cron run pulse beat
"""

from collections import deque
from datetime import UTC, datetime

from buntime import Request, Response

beats: deque[str] = deque(maxlen=60)


def fetch(request: Request) -> Response:
    if request.path == "/beat":
        # No client can send this field, so the request comes from the runtime.
        job = request.headers.get("x-buntime-cron", "")
        beats.append(f"{datetime.now(UTC):%H:%M:%S} {job}")
        return Response(status=204)
    if request.path != "/":
        return Response("there is nothing here\n", status=404)
    told = "\n".join(beats) or "no beat yet: buntime cron run pulse beat"
    return Response(told + "\n", headers={"Cache-Control": "no-store"})
