"""The scheduler's decisions: a plain class for each, for the server to switch on."""

from collections.abc import Hashable

from buntime.core.pool.requestqueue import Ticket
from buntime.core.pool.workforce import AppState
from buntime.core.values.tuples import NamedTuple, QuickTuple


class Spawn(NamedTuple):
    """Start an interpreter that waits for INIT, for an app with this `spare_key`."""

    worker: int
    spare_key: Hashable


class Adopt(NamedTuple):
    """Send the app's INIT to the worker."""

    worker: int
    app: AppState


class Assign(QuickTuple):
    """Send the request to the worker."""

    worker: int
    ticket: Ticket


class End(NamedTuple):
    """Tell the worker to TERMINATE, after IDLE where `was_idle`."""

    worker: int
    was_idle: bool = False


class Refuse(NamedTuple):
    """No worker can take the request: answer 503, with Retry-After in seconds."""

    ticket: Ticket
    retry_after_s: float


class Fail(NamedTuple):
    """The request was waiting for a worker that could not load its app."""

    ticket: Ticket


class GiveBack(NamedTuple):
    """The request was waiting for one worker, which leaves: any that serves its app now may have
    it."""

    ticket: Ticket


Decision = Spawn | Adopt | Assign | End | Refuse | Fail | GiveBack
