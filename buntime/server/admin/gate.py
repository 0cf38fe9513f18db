"""Who asks for a page of the runtime's own: the key that a request bears, as a `Caller`."""

from buntime.core.access.guesses import Guesses
from buntime.core.access.operators import is_direct
from buntime.core.access.rights import Caller, admin
from buntime.core.errors import ClientFault
from buntime.core.settings.endpoint import TcpEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.localkey import NAME as LOCAL_KEY
from buntime.server.admin.localkey import LocalKey
from buntime.server.http1.exchange import Exchange

_MASTER = admin("master", "master")
_LOCAL = admin("local", "local")


class Gate:
    """Knows callers by what they bear."""

    def __init__(self, live: LiveSettings, *, guesses: Guesses, local_key: LocalKey) -> None:
        self._live = live
        self._guesses = guesses
        self._local_key = local_key
        endpoints = live.now.endpoints
        self._listening = [each.host for each in endpoints if isinstance(each, TcpEndpoint)]

    def caller_of(self, exchange: Exchange) -> Caller:
        """Who asks. Raises ClientFault: 401 without a right key, 403 where none would do, 429."""
        settings, head = self._live.now, exchange.head
        key, what, caller = settings.master_key, "the key", _MASTER
        if not key:
            key, what = self._local_key.value, f"the key in {LOCAL_KEY} of the state folder"
            caller = _LOCAL
            self._check_direct(exchange, key)
        client = exchange.sender.text
        if not self._guesses.admit(head.headers, key, address=client, now=exchange.now):
            raise ClientFault(
                401,
                "unauthorized",
                f"this page needs {what}: send it as X-API-Key or as Authorization: Bearer",
                headers=(("WWW-Authenticate", 'Bearer realm="buntime"'),),
            )
        return caller

    def _check_direct(self, exchange: Exchange, local_key: str | None) -> None:
        """Without a master key: a page of this machine alone, if of anybody."""
        head = exchange.head
        if local_key is None:
            raise ClientFault(
                403,
                "forbidden",
                "this page is closed, as no key is set: set RUNTIME_MASTER_KEY or "
                "RUNTIME_MASTER_KEY_FILE, and send the key as X-API-Key",
            )
        if not is_direct(
            head.headers,
            peer=exchange.client.peer_text,
            host=head.host,
            is_absolute=head.is_absolute,
            listening=self._listening,
        ):
            raise ClientFault(
                403,
                "forbidden",
                "without RUNTIME_MASTER_KEY this page answers only direct requests from this "
                "machine, addressed to localhost or to an address that the runtime listens on",
            )
