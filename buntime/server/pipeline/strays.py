"""Says which app's page asked for a path where nothing is: one of its links leaves the app.

    /shop/ contains <img src="/logo.png">      a browser asks for /logo.png, Referer: …/shop/
    /shop/ opens new WebSocket("/ws")          it asks for /ws, with an Origin and no Referer

An app that was written for a host of its own shows blank pages below a path, and the 404 of what it
asks for names no app. So the log names it, once for each state of an app, and in development the
404 does, each time. Of a WebSocket it is not known which page opens it, so the log has the path.
So it does of what a page in a frame asks for without the token that stands for its cookies.

Anybody can send any Referer. It is only compared with apps that exist, what is kept is one mark for
each of these, and all of them together are logged at a bounded rate.
"""

from collections.abc import Callable
from weakref import WeakSet

from buntime.core.apps.app import App
from buntime.core.apps.router import reserved_path, split_target
from buntime.core.errors import ClientFault, HttpError, ManifestError
from buntime.core.settings.load import Settings
from buntime.core.telemetry.records import Tell
from buntime.core.values.bucket import TokenBucket
from buntime.core.values.regex import regex
from buntime.server.http1.service import Asked

# Without the query, which may contain what no log should.
_REFERER = regex(r"https?://([^/?#\s]{1,255})(/[^?#\s]{1,1023})(?:[?#]\S*)?")
_ORIGIN = regex(r"https?://([^/?#\s]{1,255})")
_SHOWN_CHARS = 200
_SOCKETS_MAX = 100  # paths of WebSockets that are remembered
_BURST, _RATE = 20.0, 1 / 60.0  # warnings at once, and each second after that
# How the runtime answers where nothing of its own is either.
_NOTHING = frozenset(("app_not_found", "not_found", "method_not_allowed"))
_KEYS = frozenset(("authorization", "x-api-key"))  # who sends one means the runtime's own pages
# What browsers ask for by themselves, whatever a page says.
_UNASKED = ("/favicon.ico", "/apple-touch-icon")
_FOR_SITES = "make its links relative (Vite: base: './')"
_FOR_CODE = (
    "link without the leading slash, or put the base in front, as `request.base`, url_for(), "
    "SCRIPT_NAME and root_path do"
)
_FOR_SOCKETS = (
    "in an app's page, make the address from that of the page, new URL('ws', document.baseURI), "
    "or put the app's base in front"
)
_FOR_FRAMES = (
    "its origin is null, so no cookie or session comes with `fetch`; use frame.fetch(path) of "
    "/.well-known/buntime/frame.js, with a path below the base"
)
_OR_A_HOST = "or give the app a host of its own: `hosts` in buntime.yaml"


class Strays:
    """Finds the apps whose pages ask for paths outside of them."""

    def __init__(
        self, find: Callable[[str, str | None, float], App], warn: Tell, settings: Settings
    ) -> None:
        """`find` is `Catalog.find`; the settings are those that do not change."""
        self._find = find
        self._warn = warn
        self._api_prefix = settings.api_prefix
        self._is_development = settings.is_development
        self._told: WeakSet[App] = WeakSet()
        self._told_sockets: set[str] = set()
        self._bucket = TokenBucket(rate=_RATE, burst=_BURST, now=0.0)

    def __repr__(self) -> str:
        return f"Strays({len(self._told)} told)"

    def explain(self, request: Asked, error: HttpError) -> str:
        """What to do about an error that no app gave, or "" if no app's page is behind it."""
        if request.app is not None and _lacks_token(request, request.app, error):
            return self._explain_frame(request, request.app)
        is_own = reserved_path(request.head.target, self._api_prefix) is not None
        if error.code == "app_not_found" and is_own:  # the API has been asked about an app
            return ""
        if _is_socket_of_a_page(request, error):
            return self._explain_socket(request)
        page = _page_behind(request, error)
        if not page or not (self._is_development or self._bucket.has(request.started_s)):
            return ""
        app = self._app_at(page, request.started_s)
        if app is None or app.manifest.visibility == "internal":  # which has no pages
            return ""
        asked = split_target(request.head.target)
        if asked is not None and asked.name == app.name:  # a version that does not exist
            return ""
        path = request.head.path[:_SHOWN_CHARS]
        page = page[:_SHOWN_CHARS]
        advice = f"{_FOR_SITES if app.is_static else _FOR_CODE}, {_OR_A_HOST}"
        if self._may_tell_of(app, request.started_s):
            self._warn(
                "app.link_away",
                "a page of an app asks for a path outside of the app, which belongs to no app",
                app=app.key,
                page=page,
                path=path,
                hint=advice,
            )
        return f"the page {page} of {app.name} asks for it, outside of the app: {advice}"

    def _explain_frame(self, request: Asked, app: App) -> str:
        """What to do about a request of a page in a frame that should have had a token."""
        path = request.head.path[:_SHOWN_CHARS]
        if self._may_tell_of(app, request.started_s):
            self._warn(
                "frame.no_token",
                "a page in a frame asks for what needs a key, without its token",
                app=app.key,
                path=path,
                hint=_FOR_FRAMES,
            )
        return f"a page in a frame asks for {path} without its token: {_FOR_FRAMES}"

    def _may_tell_of(self, app: App, now: float) -> bool:
        """Once for each state of an app, and not too often in all; then it counts as told."""
        if app in self._told or not self._bucket.take(1, now):
            return False
        self._told.add(app)
        return True

    def _explain_socket(self, request: Asked) -> str:
        """What to do about a WebSocket that a page of this host opens where nothing is."""
        path = request.head.path[:_SHOWN_CHARS]
        advice = f"{_FOR_SOCKETS}, {_OR_A_HOST}"
        if (
            path not in self._told_sockets
            and len(self._told_sockets) < _SOCKETS_MAX
            and self._bucket.take(1, request.started_s)
        ):
            self._told_sockets.add(path)
            self._warn(
                "app.socket_away",
                "a page opens a WebSocket at a path that belongs to no app",
                path=path,
                hint=advice,
            )
        return f"a page of this host opens a WebSocket at {path}: {advice}"

    def _app_at(self, path: str, now: float) -> App | None:
        """The app at whose base, or below, a path is."""
        target = split_target(path)
        if target is None:
            return None
        try:
            return self._find(target.name, target.spec, now)
        except (ClientFault, ManifestError):
            return None


def _lacks_token(request: Asked, app: App, error: HttpError) -> bool:
    """Whether a page in a shell's frame asks for what is behind a key, by a plain `fetch`."""
    if error.code != "unauthorized" or request.head.method == "OPTIONS":
        return False
    fields = dict(request.head.headers)
    is_shown = app.plugin is not None or app.manifest.in_shell
    return is_shown and fields.get("origin") == "null" and _KEYS.isdisjoint(fields)


def _page_behind(request: Asked, error: HttpError) -> str:
    """The path of the page of this host that asks, "" if none does or it may ask."""
    fields = _fields_of_stray(request, error)
    match = _REFERER.fullmatch(fields.get("referer", ""))
    if match is None or not _is_host(request, match[1]):
        return ""
    prefix, page = request.sender.prefix, match[2]
    return page[len(prefix) :] if page.startswith(f"{prefix}/") else page


def _is_socket_of_a_page(request: Asked, error: HttpError) -> bool:
    """Whether a page of this host wants to open a WebSocket where nothing is."""
    fields = _fields_of_stray(request, error)
    match = _ORIGIN.fullmatch(fields.get("origin", ""))
    is_socket = request.head.upgrade.lower() == "websocket"
    return is_socket and match is not None and _is_host(request, match[1])


def _fields_of_stray(request: Asked, error: HttpError) -> dict[str, str]:
    """The fields of a request for a path where nothing is; none of others, and of keys' holders."""
    if request.app is not None or request.is_operators or request.head.path.startswith(_UNASKED):
        return {}
    fields = dict(request.head.headers)
    is_locked = error.code == "unauthorized" and _KEYS.isdisjoint(fields)
    return fields if is_locked or error.code in _NOTHING else {}


def _is_host(request: Asked, host: str) -> bool:
    return host.lower() == (request.sender.host or request.head.host).lower()
