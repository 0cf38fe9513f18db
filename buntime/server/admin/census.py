"""What is happening right now: the requests, queues and workers of each app."""

from collections import defaultdict

from buntime.core.telemetry.meters import Meter
from buntime.core.telemetry.metrics import Live
from buntime.core.values.tuples import NamedTuple
from buntime.server.http1.service import Service
from buntime.server.pool.process import Process
from buntime.server.pool.report import PoolReport


class Census(NamedTuple):
    """Keyed by apps' meters; idle apps are missing until asked for."""

    live: defaultdict[Meter, Live]
    processes: defaultdict[Meter, list[Process]]


def take_census(service: Service, report: PoolReport) -> Census:
    """Look at all connections and workers at one moment, so that the numbers are consistent."""
    meters = service.meters
    live: defaultdict[Meter, Live] = defaultdict(Live)
    processes: defaultdict[Meter, list[Process]] = defaultdict(list)
    for connection in (*service.connections, *service.jobs):
        exchange = connection.exchange
        if exchange is not None and not exchange.is_ended:
            counts = live[exchange.meter]
            counts.requests += 1
            counts.websockets += exchange.link is not None
            counts.received_bytes += exchange.body_seen_bytes
            counts.sent_bytes += exchange.sent_bytes
    for app, length in report.queues():
        live[meters.of(app)].queued += length
    for owner, state, process in report.census():
        meter = meters.of(owner) if owner is not None else meters.of_none
        live[meter].workers[state.value] += 1
        processes[meter].append(process)
    return Census(live, processes)
