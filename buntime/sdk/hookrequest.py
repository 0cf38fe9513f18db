"""What a hook sees of a request, and of the response to it."""

from __future__ import annotations

from buntime.sdk.fields import URI, Headers, quote
from buntime.sdk.request import AsyncRequest, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from typing import Any

    from buntime.sdk.response import HeadersLike

_PATH = URI.translate(dict.fromkeys(map(ord, "?#[]%")))  # what stands for itself in a path


class HookRequest(Request):
    """A request on its way to an app. The body is here for `on_request` of a plugin whose manifest
    asks for it, as it is for an app.

    `path` is decoded, below the base of the app; `app` and `version` are who will get it, None
    where nobody would. `identity` is what the stage of that name has found, None before. The
    runtime says whether the app has it public (`is_public`).

    A test of a plugin makes one by hand, of what a hook is asked with: `{"method": "GET", "path":
    "/cart", "headers": {"Cookie": "a=1"}, "app": "shop"}`.
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
        # in the place of what would be computed
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
            "there is no body here: on_request gets it, where the manifest says `body: true`"
        )


class AsyncHookRequest(HookRequest, AsyncRequest):
    """The same for an async hook: what reads the body is awaited."""


class ResponseHead:
    """A response on its way to the client: `status` and `headers` may be changed."""

    __slots__ = ("headers", "status")

    def __init__(self, status: int, headers: HeadersLike) -> None:
        self.status = status
        self.headers = Headers(headers)

    def __repr__(self) -> str:
        return f"<ResponseHead {self.status}>"
