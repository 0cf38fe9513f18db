"""What a hook sees of a request and its response."""

from __future__ import annotations

from buntime.sdk.fields import URI, Headers, quote
from buntime.sdk.request import AsyncRequest, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from functools import cached_property
    from typing import Any

    from buntime.sdk.response import HeadersLike
else:
    from buntime.sdk.request import cached_property

_PATH = URI.translate(dict.fromkeys(map(ord, "?#[]%")))  # needs no encoding in a path


class HookRequest(Request):
    """A request on its way to an app. If the plugin's manifest asks for it, `on_request` can read
    the body like an app.

    `path` is decoded, below the base of the app; `app` and `version` are what will get it, None if
    nothing would. `identity` is the result of the stage of that name, None before it. `is_public`
    says whether the app makes the path public.

    A test of a plugin makes one by hand, from what a hook is called with: `{"method": "GET",
    "path": "/cart", "headers": {"Cookie": "a=1"}, "app": "shop"}`.
    """

    def __init__(self, fields: dict[str, Any], body: builtins.bytes | None) -> None:
        # There is one for each request to each app, and most hooks look at one or two parts of it.
        self._fields = fields
        self.method = fields["method"]
        self.path = fields["path"]
        self._header_pairs = fields["headers"]
        self.server = None
        self._source = None
        self._is_taken = False
        self._content = body

    @cached_property
    def base(self) -> str:  # type: ignore[override]  # it can be set
        """The part of the target under which the app is mounted."""
        return self._fields.get("base") or ""

    @cached_property
    def target(self) -> str:  # type: ignore[override]  # it can be set
        """What the client has requested, normalized: base, path and query."""
        base, query = self._fields.get("base") or "", self._fields.get("query") or ""
        path = quote(base.rstrip("/") + self._fields["path"], _PATH)
        return f"{path}?{query}" if query else path

    @cached_property
    def scheme(self) -> str:  # type: ignore[override]  # it can be set
        """How the client came: `http` or `https`."""
        return self._fields.get("scheme") or "http"

    @cached_property
    def client(self) -> tuple[str, int] | None:  # type: ignore[override]  # it can be set
        """The client's address and port."""
        client = self._fields.get("client")
        if isinstance(client, str):
            return client, 0
        return (client[0], client[1]) if client else None

    @cached_property
    def id(self) -> str:  # type: ignore[override]  # it can be set
        """The request id of the log."""
        return self._fields.get("requestId") or ""

    @cached_property
    def host(self) -> str:
        """The host that the client has requested."""
        return self._fields.get("host") or self.headers.get("host") or "localhost"

    @cached_property
    def app(self) -> str | None:
        """The app that will get the request."""
        return self._fields.get("app")

    @cached_property
    def version(self) -> str | None:
        """The version of the app, if the address names one."""
        return self._fields.get("version")

    @cached_property
    def identity(self) -> dict[str, Any] | None:
        """Who the client is, as the hook of stage identity has found out."""
        return self._fields.get("identity")

    @cached_property
    def is_public(self) -> bool:
        """Whether the app makes the path public."""
        return bool(self._fields.get("isPublic"))

    @cached_property
    def is_websocket(self) -> bool:
        """Whether it is the handshake of a WebSocket."""
        return bool(self._fields.get("isWebSocket"))

    @cached_property
    def params(self) -> dict[str, str]:  # type: ignore[override]  # it can be set
        """Empty: routes are an app's."""
        return {}

    def _take(self) -> None:
        raise RuntimeError(
            "there is no body here: on_request gets it, if the manifest says `body: true`"
        )


class AsyncHookRequest(HookRequest, AsyncRequest):
    """The same for an async hook: methods that read the body are awaited."""


class ResponseHead:
    """A response on its way to the client: `status` and `headers` may be changed."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: HeadersLike) -> None:
        self.status = status
        self.headers = Headers(headers)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"
