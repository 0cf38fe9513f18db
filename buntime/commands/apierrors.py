"""What can go wrong between a command and the API of a runtime, and what to do about it."""

import json
import ssl
from collections.abc import Mapping
from typing import Any

from buntime.commands.targets import EXIT_REFUSED, EXIT_UNREACHABLE, Target
from buntime.core.errors import CommandError

_SHOWN_CHARS = 2000  # of another's message
# Answers that are not Buntime's own. A proxy before it gives these.
_PROXIES = {
    401: "is behind a proxy that asks for a password of its own: have the proxy let the API "
    "through",
    413: "is behind a proxy that does not accept a body of this size: raise its limit (nginx: "
    "client_max_body_size 500m)",
    502: "is behind a proxy that gets no answer from Buntime: check the host (systemctl "
    "status buntime)",
    503: "is behind a proxy that cannot find Buntime: check the host (systemctl status buntime)",
    504: "is behind a proxy that did not wait for the answer; the request may still be "
    "under way, so check before you try again (nginx: proxy_read_timeout 900s)",
}

# Where what a command has named is not there: the command that lists what is.
LISTS = {
    "app_not_found": "buntime list",
    "host_not_found": "buntime hosts",
    "job_not_found": "buntime cron list",
    "key_not_found": "buntime keys list",
    "plugin_not_found": "buntime plugins list",
    "secret_not_found": "buntime secrets list APP",
    "user_not_found": "buntime users list",
    "version_not_found": "buntime show APP",
}


class ApiError(CommandError):
    """The API has refused, or could not be reached; `status` is 0 if there was no answer.

    `body` is the parsed answer, None if it was not an error of Buntime.
    """

    def __init__(
        self,
        code: str,
        message: str,
        request_id: str = "",
        *,
        status: int = 0,
        exit_code: int = 1,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, message, exit_code=exit_code, request_id=request_id)
        self.status = status
        self.body = body

    def to_json(self) -> dict[str, object]:
        return dict(self.body) if self.body is not None else super().to_json()


def refusal(target: Target, status: int, data: bytes, *, request_id: str, what: str) -> ApiError:
    """The error of an answer; `what` was requested, "/api/apps"."""
    body = _error_of(data)
    if body is None:
        return foreign(target, status, what)
    error = body["error"]
    code, message = str(error.get("code", "")), str(error.get("message", ""))[:_SHOWN_CHARS]
    if code in LISTS and "see buntime" not in message:
        message += f" (see {LISTS[code]})" if message.endswith("?") else f"; see {LISTS[code]}"
    return ApiError(
        code,
        f"{target.name}: {message}{_how_to_get_a_key(target, message) if status == 401 else ''}",
        str(error.get("requestId") or request_id)[:200],
        status=status,
        exit_code=EXIT_REFUSED if status in (401, 403) else 1,
        body=body,
    )


def _error_of(data: bytes) -> dict[str, Any] | None:
    """The body of a Buntime error; None if it comes from somewhere else."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(body, dict) and isinstance(body.get("error"), dict)
    return body if is_ours else None


def _how_to_get_a_key(target: Target, message: str) -> str:
    sent = "the key that was sent is not one of its keys: " if target.key else "no key was sent: "
    if message.startswith("the key "):  # it says what is wrong with this one
        sent = ""
    return (
        f" ({sent}make one on the host with buntime keys add, then here buntime login URL, or "
        "set BUNTIME_KEY)"
    )


def foreign(target: Target, status: int, what: str) -> ApiError:
    """An answer that is not from Buntime: from a proxy in front of it, or from another server."""
    problem = _PROXIES.get(status) or (
        f"is not a Buntime: {what} is answered with {status}; check the URL and the path in it "
        "that Buntime is served below"
    )
    code = "proxy" if status in _PROXIES else "not_a_buntime"
    message = f"{target.name} {problem}"
    return ApiError(code, message, status=status, exit_code=EXIT_UNREACHABLE)


def redirected(target: Target, status: int, place: str) -> ApiError:
    """A key is only for the host that it was issued for."""
    return ApiError(
        "redirected",
        f"{target.name} redirects to {place[:_SHOWN_CHARS]}, and a key is not sent after a "
        "redirect; if that is the right host, name it: buntime login URL, or --to URL",
        status=status,
        exit_code=EXIT_UNREACHABLE,
    )


def cut(target: Target, exc: Exception) -> ApiError:
    """The connection ended, or no answer came in time."""
    what = "does not answer in time"
    if not isinstance(exc, TimeoutError):
        what = "ended the connection before its answer was complete"
    message = (
        f"{target.name} {what}; the request may still be under way there, so check before "
        "you try again"
    )
    return ApiError("cut", message, exit_code=EXIT_UNREACHABLE)


def broken_off(target: Target) -> ApiError:
    """The end of a download is missing: its status had been sent when something went wrong."""
    message = (
        f"{target.name} broke off the download, so nothing is kept of it; why is in its log: "
        "buntime logs +runtime --level warn"
    )
    return ApiError("cut", message, exit_code=EXIT_UNREACHABLE)


def too_large(target: Target, size_max_bytes: int) -> ApiError:
    """An answer that no command expects."""
    message = f"{target.name} answered with more than {size_max_bytes >> 20} MB"
    return ApiError("answer_too_large", message, exit_code=EXIT_UNREACHABLE)


def not_json(target: Target) -> ApiError:
    """An answer, or a line of one, that cannot be read."""
    return ApiError(
        "not_json",
        f"{target.name} answered with something that is not JSON; there may be a proxy in "
        "front of it",
        exit_code=EXIT_UNREACHABLE,
    )


def untrusted(target: Target, exc: ssl.SSLCertVerificationError) -> ApiError:
    """Its certificate is from an unknown authority, has expired, or is for another host."""
    return ApiError(
        "untrusted_certificate",
        f"{target.name} has a certificate that is not trusted here ({exc.verify_message}); if "
        "an authority of your own issued it, name that authority's certificate: "
        "SSL_CERT_FILE=ca.pem",
        exit_code=EXIT_UNREACHABLE,
    )


def unreachable(target: Target, exc: OSError) -> ApiError:
    """There is no connection."""
    if target.socket and isinstance(exc, PermissionError):
        return ApiError(
            "forbidden",
            f"{target.name} belongs to another user: run this as that user or as root (sudo "
            "buntime ...), or use a key (buntime login URL)",
            exit_code=EXIT_REFUSED,
        )
    reason = exc.strerror or str(exc)
    if isinstance(exc, TimeoutError):
        reason = "no answer in time"
    advice = "is it http:// there?" if isinstance(exc, ssl.SSLError) else "does it run?"
    return ApiError(
        "unreachable",
        f"cannot reach {target.name}: {reason}; {advice} --to names another one",
        exit_code=EXIT_UNREACHABLE,
    )
