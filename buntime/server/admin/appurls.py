"""The URL of an app for a caller: at the address that was used, or at the one for apps."""

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from buntime.core.apps.hosts import plain_host
from buntime.server.admin.call import Call

_ANY = ("0.0.0.0", "::")


class AppUrls:
    """`urls` are those that the runtime listens at; the operators' address does not come first."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = urls

    def __repr__(self) -> str:
        return f"AppUrls({', '.join(self._urls)})"

    def of(self, call: Call, app: str) -> str:
        """`"http://localhost:8000/shop/"`; `app` may be `shop@1.2.0`."""
        path = f"/{quote(app, safe='@/~')}/"
        if call.caller.source == "socket":
            return self._own() + path
        sender = call.exchange.sender
        host = sender.host or call.exchange.head.host or "localhost"
        if not call.exchange.is_operators:
            return f"{sender.scheme}://{host}{sender.prefix}{path}"
        name = plain_host(host)
        if sender.scheme == "https" and name:  # a proxy, which serves apps at its usual port
            return f"https://{name}{path}"
        return self._own(name) + path

    def _own(self, name: str = "") -> str:
        """The first address of apps, under this name or one that reaches it from this machine."""
        own = next((url for url in self._urls if url.startswith("http")), "http://localhost")
        split = urlsplit(own)
        name = name or ("localhost" if split.hostname in _ANY else "")
        return f"{split.scheme}://{name}:{split.port}" if name and split.port else own
