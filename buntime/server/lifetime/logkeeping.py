"""Opens the log as the settings say, keeps apps' logs, and exports traces and logs.

Apps' logs are kept where that is possible. Traces and the log go to a collector, if there is one.
"""

import os
import time
from collections.abc import Callable

from buntime import __version__
from buntime.core.settings.load import Settings
from buntime.core.telemetry.otlp import resource
from buntime.core.telemetry.records import Level
from buntime.core.telemetry.tracecontext import Sampler
from buntime.core.values.tuples import NamedTuple
from buntime.server.state.statefolder import StateFolder, StateWatch
from buntime.server.telemetry.appfiles import Keeping
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import Log, LogSink
from buntime.server.telemetry.tracer import Tracer


def open_log(settings: Settings, *, is_journal: bool) -> tuple[LogSink, AppLogs]:
    """The runtime's log, and those of apps, in memory at first. Raises UsageError."""
    sink = LogSink(
        Level.named(settings.log_level),
        format=settings.log_format,
        is_journal=is_journal,
        file=settings.log_file,
        file_size_bytes=settings.log_file_size_bytes,
        file_count=settings.log_file_count,
    )
    keeping = Keeping(
        settings.app_log_size_bytes, settings.app_log_age_s, settings.app_logs_size_bytes
    )
    app_logs = AppLogs(keeping, clock=time.time)
    sink.keep(app_logs)
    return sink, app_logs


def keep_app_logs(app_logs: AppLogs, state: StateFolder, watch: StateWatch) -> AppLogs:
    """Have them written to files for as long as this runtime holds the state folder."""

    def keep() -> None:
        app_logs.keep_in(state.path)

    watch.follow(keep)
    if not state.trouble:
        keep()
    return app_logs


class Exports(NamedTuple):
    """What goes to a collector: `tracer` makes the spans; `close` sends what is left."""

    tracer: Tracer | None = None
    close: Callable[[float], None] = lambda _: None


def open_exports(settings: Settings, sink: LogSink) -> Exports:
    """Begin to send traces and logs, if the settings name a collector."""
    is_wanted = "otlp" in (settings.otel_traces, settings.otel_logs)
    if settings.otlp_endpoint is None or not is_wanted:
        return Exports()
    # Loads http.client and ssl: 40 ms that a start without a collector does not need.
    from buntime.server.telemetry.otlpsender import Collector, Sender

    log = Log(sink)
    if settings.otlp_protocol != "http/json":
        log.warn(
            "otlp.other_protocol",
            "traces and logs are sent as http/json, which is not what OTEL_EXPORTER_OTLP_PROTOCOL "
            "says: name a port that takes it, such as 4318",
            protocol=settings.otlp_protocol,
        )
    collector = Collector(
        settings.otlp_endpoint, settings.otlp_headers, settings.otlp_timeout_ms / 1000
    )
    attributes: dict[str, str | int] = {
        "host.name": os.uname().nodename,
        "process.pid": os.getpid(),
        "service.version": __version__,
        **dict(settings.otel_resource),
        "service.name": settings.service_name,
    }
    scope = {"name": "buntime", "version": __version__}
    sender = Sender(collector, resource(attributes), scope, warn=log.warn)
    sink.collector_lost = lambda: sender.lost
    if settings.otel_logs == "otlp":
        sink.export(sender.put_logs)
    tracer = None
    if settings.otel_traces == "otlp":
        sampler = Sampler(settings.otel_sampler, settings.otel_sampler_share)
        tracer = Tracer(sampler, sender.put_span)
    return Exports(tracer, sender.close)
