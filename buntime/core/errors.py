"""The errors of the runtime: one tree, split by whose fault it is.

A `UsageError` is the operator's fault (a flag, a setting), a `ManifestError` an app author's. An
`HttpError` is an answer that the runtime itself gives to a client. Every message says what is
wrong, where, and what to do.
"""

from collections.abc import Sequence

_RETRY_LATER = (("Retry-After", "10"),)


class BuntimeError(Exception):
    """Any error that the runtime raises on purpose."""


class UsageError(BuntimeError):
    """A flag or a setting is wrong; the command ends with exit code 2 and this one line."""


class ConfigError(UsageError):
    """The config file cannot be used as it is; `faults` are sentences that each name file and line.

    Its own message is the first of them.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        more = len(faults) - 1
        rest = f" (and {more} more; buntime config check lists all)" if more else ""
        super().__init__(f"{faults[0]}{rest}")
        self.faults = tuple(faults)


class CommandError(BuntimeError):
    """A command cannot do what it was asked for; it ends with `exit_code` and this one line.

    `code` is a stable word for programs, like that of HttpError ("unreachable", "unauthorized").
    `request_id` identifies the request in the runtime's log; "" where it has none.
    """

    def __init__(
        self, code: str, message: str, *, exit_code: int = 1, request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit_code = exit_code
        self.request_id = request_id

    def to_json(self) -> dict[str, object]:
        """The form of the API's errors."""
        error = {"code": self.code, "message": self.message, "requestId": self.request_id or None}
        return {"error": error}


class ManifestError(BuntimeError):
    """An app's folder cannot be served as it is: its requests get 500, other apps keep running."""


class NoRoom(ManifestError):
    """The disk has no room for what an app needs besides its folder."""


class HttpError(BuntimeError):
    """A request ends with this status instead of an app's answer.

    `code` is a stable word for programs ("body_too_large"), `message` a sentence for people,
    `headers` further fields of the answer, such as Retry-After. `closes` means that what follows on
    the connection cannot be trusted or is not wanted, so the connection ends after the answer.
    `detail` is a trace for the app's author, and `hint` says what to do; both are shown only in
    development.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        closes: bool = False,
        detail: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.closes = closes
        self.detail = detail
        self.hint = hint

    def __repr__(self) -> str:
        return f"HttpError({self.status}, {self.code!r}, {self.message!r})"


class ClientFault(HttpError):
    """The client's fault: 4xx, 501 and 505."""


class ServerFault(HttpError):
    """Ours or an app's fault: 5xx."""


class StateFault(ServerFault):
    """The request needs state.db, which cannot be used now; `message` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(
            503, "state_unavailable", f"the state cannot be used: {why}", headers=_RETRY_LATER
        )


class StateOff(StateFault):
    """The request would store something, and RUNTIME_STATE is none; `instead` says what to do."""

    WHY = "RUNTIME_STATE is none: nothing is kept here, because other replicas would not have it"

    def __init__(self, instead: str = "do it where all replicas get it from") -> None:
        HttpError.__init__(self, 409, "state_off", f"{self.WHY}; {instead}")
