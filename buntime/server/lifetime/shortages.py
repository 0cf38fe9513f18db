"""What can run short, so that slow clients matter."""

from collections.abc import Callable

from buntime.core.http1.leastrate import Shortage, is_short
from buntime.core.settings.live import LiveSettings
from buntime.server.http1.service import Service
from buntime.server.pool.pool import Pool


def shortage_of(service: Service, pool: Pool, live: LiveSettings) -> Callable[[], Shortage]:
    """Make the function that returns what is short at the time of the call."""

    def look() -> Shortage:
        return Shortage(
            of_connections=is_short(len(service.connections), service.admission.connections_max),
            of_memory=pool.is_short_of_memory,
            of_answers=service.held_answers.is_pressed() or service.spools.is_pressed(),
            of_slots=is_short(pool.slots_taken, live.now.ephemeral_concurrency),
            of_places=pool.report.crowded(),
        )

    return look
