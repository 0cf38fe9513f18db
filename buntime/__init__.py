"""What an app imports: `from buntime import Request, Response`."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from buntime.sdk.events import Event
    from buntime.sdk.forms import BadForm
    from buntime.sdk.granted import secret
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


_MODULES = {
    "AsyncRequest": "request",
    "AsyncService": "services",
    "AsyncWebSocket": "websocket",
    "BadBody": "request",
    "BadForm": "forms",
    "ClientGone": "request",
    "Event": "events",
    "Fields": "request",
    "File": "request",
    "Form": "request",
    "Headers": "request",
    "Query": "request",
    "Request": "request",
    "Response": "request",
    "Service": "services",
    "ServiceError": "services",
    "WebSocket": "websocket",
    "WebSocketClosed": "websocket",
    "async_service": "services",
    "secret": "granted",
    "service": "services",
}


def __getattr__(name: str) -> object:
    """Import a name at its first use: no app needs all of them, and the runtime none."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'buntime' has no attribute {name!r}")
    found = globals()[name] = getattr(__import__(f"buntime.sdk.{module}", fromlist=[name]), name)
    return found


def __dir__() -> list[str]:
    """Include the names that are imported late, for `dir(buntime)` at a prompt."""
    return sorted({*globals(), *__all__})
