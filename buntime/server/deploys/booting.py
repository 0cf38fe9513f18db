"""Makes a worker load a release, and asks it whether it is well, before clients can reach it."""

import traceback
from collections.abc import Callable, Generator
from typing import Any

from buntime.confine import NotConfined
from buntime.core.apps.app import App
from buntime.core.errors import ServerFault
from buntime.server.deploys.course import Ask, Steps, Then, after
from buntime.server.http1.inner import check_request
from buntime.server.http1.service import Service
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.pool import Pool
from buntime.server.pool.programs import Order
from buntime.server.pythons.probe import Interpreter
from buntime.server.state.datafolders import NoData
from buntime.server.state.secretstore import NoSecrets

_LOOK_S = 0.01
_MESSAGE_CHARS = 600
_ENDING_S = 5.0
_ROOM_S = 60.0  # how long it may wait for room in the pool


class BootFault(ServerFault):
    """A worker could not load the release; `detail` is the stack trace."""


def boot(
    pool: Pool, service: Service, app: App, interpreter: Interpreter, timeout_s: float
) -> Generator[Ask, Any, Deployment]:
    """Make a worker load the app. Raises BootFault."""
    loop, deployments = service.loop, pool.deployments
    deployment = deployments.load_beside(app, interpreter)
    latest_s = loop.now + timeout_s + _ROOM_S
    while not deployment.has_workers():
        error = deployment.boot_error
        is_late = loop.now > latest_s or service.is_draining
        if error or is_late:
            yield from let_go(pool, service, deployment)
            raise (
                _fault(error)
                if error
                else ServerFault(
                    503, "no_worker", "no worker could be started for the release; the pool is full"
                )
            )
        yield after(loop, _LOOK_S)
        deployments.try_out(deployment)  # if there was no room for it before
    return deployment


def let_go(pool: Pool, service: Service, deployment: Deployment) -> Steps:
    """End its workers and wait for that: they may still write into the folder to be removed."""
    latest_s = service.loop.now + _ENDING_S
    pool.deployments.drop(deployment)
    while deployment.state.workers and service.loop.now < latest_s:
        yield after(service.loop, _LOOK_S)


def probe(
    pool: Pool, service: Service, deployment: Deployment, path: str
) -> Generator[Ask, Any, int]:
    """Ask the app for a path. Returns the status. Raises ServerFault (502) if it is not a 2xx."""
    app = deployment.app

    def ask(then: Then) -> None:
        pool.enqueue(check_request(service, app, path, then=then), deployment)

    status: int = yield ask
    if not 200 <= status < 300:
        outcome = f"answered {status}" if status else "did not answer"
        raise ServerFault(
            502,
            "check_failed",
            f"{path} {outcome}, but the manifest's `check` needs a status from 200 to 299",
        )
    return status


def _fault(error: str) -> BootFault:
    """The error begins with what a person needs; its stack and the runtime's notes follow."""
    first = error.strip().partition("\n")[0]
    message = f"the app could not be loaded: {first[:_MESSAGE_CHARS]}"
    return BootFault(500, "app_boot_failed", message, detail=error)


def trace_of(exc: BaseException) -> str:
    """What to report of an exception that does not come from an app."""
    return "".join(traceback.format_exception(exc))


def release(
    pool: Pool, service: Service, app: App, interpreter: Interpreter, say: Callable[[str], None]
) -> Steps:
    """Run the manifest's `release`; `say` gets what it prints. Raises ServerFault (500)."""

    def ask(then: Then) -> None:
        order = Order(app, interpreter, app.manifest.release, "release")
        try:
            pool.programs.start(order, on_exit=then, on_line=lambda _, line: say(line))
        except (NoData, NoSecrets, NotConfined, OSError) as exc:
            fault = ServerFault(500, "release_failed", f"`release` cannot be started: {exc}")
            service.loop.call_soon(lambda: then(fault))

    code: int = yield ask
    if code:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        command = " ".join(app.manifest.release)[:200]
        raise ServerFault(500, "release_failed", f"`release` ({command}) {how}")
