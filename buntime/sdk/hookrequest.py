"""What a hook sees of a request and its response."""

from __future__ import annotations

from buntime.sdk.fields import URI, Headers, quote
from buntime.sdk.request import AsyncRequest, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from typing import Any

    from buntime.sdk.response import HeadersLike

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
        base, path, query = fields.get("base") or "", fields["path"], fields.get("query") or ""
        client = fields.get("client")
        Request.__init__(
            self,
            fields["method"],
            quote(base.rstrip("/") + path, _PATH) + (f"?{query}" if query else ""),
            base,
            fields["headers"],
            scheme=fields.get("scheme") or "http",
            client=(client, 0) if isinstance(client, str) else client,
            id=fields.get("requestId") or "",
        )
        self._content = body
        # instead of a computed value
        self.__dict__["path"] = path
        if fields.get("host"):
            self.__dict__["host"] = fields["host"]
        self.app: str | None = fields.get("app")
        self.version: str | None = fields.get("version")
        self.identity: dict[str, Any] | None = fields.get("identity")
        self.is_public = bool(fields.get("isPublic"))
        self.is_websocket = bool(fields.get("isWebSocket"))

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
