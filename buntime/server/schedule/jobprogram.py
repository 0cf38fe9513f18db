"""The program of a job: started once its app's Python is known, ended when it takes too long."""

from collections.abc import Callable

from buntime.confine import NotConfined
from buntime.core.apps.app import App
from buntime.core.errors import ManifestError
from buntime.core.schedule.jobs import CronJob
from buntime.server.pool.process import describe_exit
from buntime.server.pool.programs import Order, Program
from buntime.server.pythons.probe import Interpreter
from buntime.server.schedule.ground import Ground
from buntime.server.state.datafolders import NoData
from buntime.server.state.secretstore import NoSecrets

OnEnd = Callable[[str, str], None]  # (result, detail)


class JobProgram:
    """One run of it. Shutdown waits for it as for a connection."""

    exchange = None

    def __init__(self, ground: Ground, app: App, job: CronJob, on_end: OnEnd) -> None:
        """`on_end` gets the result ("ok", "failed", "timeout", "cut") and its reason, once."""
        self._ground = ground
        self._service = ground.service
        self._app = app
        self._job = job
        self._on_end: OnEnd | None = on_end
        self._program: Program | None = None
        self._why = ""  # it has been asked to end

    def __repr__(self) -> str:
        return f"JobProgram({self._job.name}, {self._program!r})"

    def begin(self) -> None:
        service = self._service
        service.jobs.add(self)
        service.loop.call_later(self._job.timeout_s, lambda: self._end_early("timeout"))
        code, interpreters = self._app.code, self._ground.interpreters
        service.loop.run_blocking(lambda: interpreters.find(code), self._start)

    def drain(self) -> None:
        """It is waited for until it ends."""

    def abort(self) -> None:
        """It is no longer waited for."""
        self._end_early("cut")
        if self._program is not None:
            self._program.kill()

    def _start(self, found: Interpreter | BaseException) -> None:
        if self._on_end is None:
            return
        if isinstance(found, ManifestError):
            self._finish("failed", str(found))
            return
        if isinstance(found, BaseException):
            self._finish("failed", "internal error")
            raise found
        order = Order(self._app.code, found, self._job.run, f"cron:{self._job.name}")
        try:
            self._program = self._ground.pool.programs.start(order, on_exit=self._on_exit)
        except (OSError, NotConfined, NoData, NoSecrets) as exc:
            self._finish("failed", str(exc))

    def _end_early(self, why: str) -> None:
        if self._on_end is None or self._why:
            return
        self._why = why
        if self._program is not None:
            self._program.end()
        else:
            self._finish(why, "the app's Python was not ready")

    def _on_exit(self, returncode: int) -> None:
        result = self._why or ("failed" if returncode else "ok")
        self._finish(result, describe_exit(returncode))

    def _finish(self, result: str, detail: str) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._service.loop.call_soon(lambda: on_end(result, detail))
            self._service.on_job_ended(self)
