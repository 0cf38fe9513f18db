"""Opens the runtime's log as the settings say, and has apps' logs kept where that can be."""

import time

from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Level
from buntime.server.state.statefolder import StateFolder, StateWatch
from buntime.server.telemetry.appfiles import Keeping
from buntime.server.telemetry.applogs import AppLogs
from buntime.server.telemetry.logs import LogSink


def open_log(settings: Settings, *, is_journal: bool) -> tuple[LogSink, AppLogs]:
    """The log, and those of apps, in memory at first. Raises UsageError."""
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
