"""Who asks for a page of the runtime's own: turns the key in a request into a `Caller`."""

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from buntime.core.access.frametokens import FrameTokens, Standing, borne_token
from buntime.core.access.guesses import Guesses
from buntime.core.access.keyring import KeyRecord, bears_form
from buntime.core.access.keys import bears_key, has_key_field, offers_key
from buntime.core.access.operators import is_direct
from buntime.core.access.rights import Caller, admin, may
from buntime.core.errors import ClientFault
from buntime.core.settings.endpoint import TcpEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.server.admin.keystore import KeySource
from buntime.server.admin.latesessions import LateSessions
from buntime.server.admin.localkey import NAME as LOCAL_KEY
from buntime.server.admin.localkey import LocalKey
from buntime.server.admin.openings import Openings
from buntime.server.admin.signin import SignIn, secret_of
from buntime.server.http1.exchange import Exchange

if TYPE_CHECKING:
    from buntime.server.admin.operatorsessions import Found

Fields = Collection[tuple[str, str]]

_MASTER = admin("master", "master")
_LOCAL = admin("local", "local")
_ASK_FOR_KEY = (("WWW-Authenticate", 'Bearer realm="buntime"'),)


class Gate:
    """Identifies callers by what they send, and knows which fields are keys hidden from apps."""

    def __init__(
        self,
        live: LiveSettings,
        keys: KeySource,
        *,
        guesses: Guesses,
        local_key: LocalKey,
        sessions: LateSessions,
        openings: Openings,
    ) -> None:
        self._live = live
        self._keys = keys
        self._guesses = guesses
        self._local_key = local_key
        self._sessions = sessions
        self.frames = FrameTokens()
        self.openings = openings
        sessions.on_end = openings.look_soon
        keys.follow_each(openings.look_soon)
        live.follow(lambda _: openings.look_soon())
        endpoints = live.now.endpoints
        self._listening = [each.host for each in endpoints if isinstance(each, TcpEndpoint)]

    def follow(self, callback: Callable[[], None]) -> None:
        """Call `callback` when `has_keys` may have changed other than by settings."""
        self._keys.follow(callback)

    @property
    def has_keys(self) -> bool:
        """Whether a request to an app may carry a key."""
        keys = self._keys
        return bool(self._live.now.master_key) or len(keys) > 0 or not keys.is_known

    @property
    def knows_keys(self) -> bool:
        """Whether the keys were read; at a start they are not yet."""
        return self._keys.is_known

    def waits_for_keys(self, exchange: Exchange, then: Callable[[], None]) -> bool:
        """Whether the request has a key and the keys are not known yet; then `then` is called once
        they are, or after a few seconds."""
        return self._keys.waits(borne_by(exchange), then)

    # The runtime's own pages

    def caller_of(self, exchange: Exchange) -> Caller:
        """The caller. Raises ClientFault: 401 without a valid key, 403 if no key would do, 429;
        ServerFault (503) while the keys are not known."""
        caller = self.bearer(exchange) or self._by_session(exchange)
        if caller is not None:
            return caller
        key, what, caller = self._live.now.master_key, "the key", _MASTER
        if not key:
            key, what = self._local(exchange)
            caller = _LOCAL
        if not self._admit(exchange, key):
            raise ClientFault(
                401,
                "unauthorized",
                f"this page needs {what}: send it as X-API-Key or as Authorization: Bearer",
                headers=_ASK_FOR_KEY,
            )
        return caller

    def ground(self, exchange: Exchange, caller: Caller) -> None:
        """End what stays open of this request once it is no longer this caller's."""
        self.openings.ground(exchange, lambda: self.caller_of(exchange) == caller)

    def bearer(self, exchange: Exchange) -> Caller | None:
        """The owner of the keyring's key in the request. An expired or revoked key counts as wrong.

        Raises ClientFault, 401 or 429; ServerFault as `caller_of`.
        """
        record = self._record(exchange, borne_by(exchange))
        return None if record is None else self._keys.ring.caller_of(record)

    # Sessions

    def is_for_operators(self, exchange: Exchange) -> bool:
        """Whether the request came in where operators' sessions are valid: at their address, and in
        development from this machine."""
        if exchange.is_operators:
            return True
        return self._live.now.is_development and self._is_direct(exchange)

    def session_of(self, exchange: Exchange) -> "Found | None":
        """The session in a request, if sessions are valid there. Raises ClientFault (403) if it may
        not be used this way; StateFault."""
        if not exchange.head.operators or not self.is_for_operators(exchange):
            return None
        found = self._sessions.all.find(exchange)
        if found is not None:
            self._sessions.all.check_use(exchange, found.token)
        return found

    def standing(self, exchange: Exchange, caller: Caller) -> Standing:
        """Gives the caller's current standing later, for what must end with a session or a key."""
        found = self.session_of(exchange)
        if found is not None:
            return partial(self._sessions.all.still, found)
        record = self._keys.ring.by_name.get(caller.name) if caller.source == "key" else None
        return (lambda: caller) if record is None else partial(self._still, record)

    def waits(self, exchange: Exchange, then: Callable[[], None]) -> bool:
        """Whether the request has a key or session about which something is not known yet; then
        `then` is called once it is."""

        def go_on() -> None:
            if not self._waits_for_sessions(exchange, then):
                then()

        return self.waits_for_keys(exchange, go_on) or self._waits_for_sessions(exchange, then)

    def _waits_for_sessions(self, exchange: Exchange, then: Callable[[], None]) -> bool:
        if not exchange.head.operators or not self.is_for_operators(exchange):
            return False
        return self._sessions.all.waits(exchange, then)

    def bears_any(self, exchange: Exchange) -> bool:
        """Whether a request has a key, right or wrong."""
        return offers_key(borne_by(exchange))

    def _by_session(self, exchange: Exchange) -> Caller | None:
        found = self.session_of(exchange)
        return None if found is None else found.caller

    def sign_in(self, exchange: Exchange, key: str) -> SignIn:
        """The `SignIn` for a session begun with this key. Raises as `caller_of`."""
        # As it would come in a field.
        fields = (("x-api-key", key.encode("utf-8", "surrogateescape").decode("latin-1")),)
        record = self._record(exchange, fields)
        if record is not None:
            return SignIn(self._keys.ring.caller_of(record), record.digest, "key")
        own = self._live.now.master_key
        sign_in = SignIn(_MASTER, b"", "master")
        if not own:
            own, sign_in = self._local_key.value, SignIn(_LOCAL, b"", "local")
            own = own if self._is_direct(exchange) else None
        if not self._admit(exchange, own, fields) or own is None:
            raise ClientFault(401, "unauthorized", "this key is not valid here")
        return sign_in._replace(stands_on=secret_of(own))

    def local_sign_in(self, exchange: Exchange) -> SignIn | None:
        """In development, without a master key, clients on this machine need no key."""
        key = self._local_key.value
        if key is None or not self._is_direct(exchange):
            return None
        return SignIn(_LOCAL, secret_of(key), "local")

    # Apps

    def let_in(self, exchange: Exchange, app: str) -> bool:
        """Whether a request has a key that opens this app, which is not public.

        Raises ClientFault: 403 for a key that opens other apps, 429; ServerFault as `caller_of`.
        """
        caller = self.bearer(exchange)
        if caller is None and exchange.is_operators:
            caller = self._by_session(exchange)
        if caller is None:
            return self._admit(exchange, self._live.now.master_key)
        if not may(caller, "apps:open", app):
            raise ClientFault(
                403,
                "not_allowed",
                f"the key {caller.name} does not open this app: it needs the right apps:open here",
            )
        return True

    def bears(self, headers: Collection[tuple[str, str]]) -> bool:
        """Whether a request has any key of the runtime's; any other key is the app's.

        While keys are not known, everything in the form of a key counts as one.
        """
        if not has_key_field(headers):
            return False
        keys = self._keys
        if bears_key(headers, self._live.now.master_key) or borne_token(headers) is not None:
            return True
        if not keys.is_known:
            return bears_form(headers)
        return len(keys) > 0 and keys.ring.find(headers) is not None

    def is_key_field(self, field: tuple[str, str]) -> bool:
        """Whether this one field has a key of the runtime's."""
        return self.bears((field,))

    # Details

    def _still(self, record: KeyRecord) -> Caller | None:
        """The current owner of this key; None if it is no longer valid."""
        ring, clock = self._keys.ring, self._keys.clock
        now = ring.by_name.get(record.name)
        if now is None or now.digest != record.digest or now.standing(clock()) != "active":
            return None
        return ring.caller_of(now)

    def _record(self, exchange: Exchange, fields: Fields) -> KeyRecord | None:
        """The keyring's key in these fields."""
        record = self._keys.find(fields)
        if record is None:
            return None
        standing = record.standing(self._keys.clock())
        if standing == "active":
            return record
        address = exchange.sender.text
        self._guesses.turn_away_named(record.name, address=address, now=exchange.now)
        raise ClientFault(
            401,
            "unauthorized",
            f"the key {record.name} is {standing}: ask for a new one",
            headers=_ASK_FOR_KEY,
        )

    def _local(self, exchange: Exchange) -> tuple[str | None, str]:
        """The key that opens the page without a master key, and its name in messages."""
        key, name = self._local_key.value, f"the key in {LOCAL_KEY} of the state folder"
        if not len(self._keys):
            self._check_direct(exchange, key)
        elif key is None or not self._is_direct(exchange):
            return None, "a key"
        return key, name

    def _admit(self, exchange: Exchange, key: str | None, fields: Fields | None = None) -> bool:
        headers = borne_by(exchange) if fields is None else fields
        address, now = exchange.sender.text, exchange.now
        if key:
            return self._guesses.admit(headers, key, address=address, now=now)
        if len(self._keys):
            self._guesses.turn_away(headers, address=address, now=now)
        return False

    def _is_direct(self, exchange: Exchange) -> bool:
        head = exchange.head
        return is_direct(
            head.headers,
            peer=exchange.client.peer_text,
            host=head.host,
            is_absolute=head.is_absolute,
            listening=self._listening,
        )

    def _check_direct(self, exchange: Exchange, local_key: str | None) -> None:
        """Without a master key, a page is for this machine alone, or for nobody."""
        if local_key is None:
            raise ClientFault(
                403,
                "forbidden",
                "this page is closed because there is no key: make one on the host by buntime keys "
                "add, or set RUNTIME_MASTER_KEY_FILE, and send the key as X-API-Key",
            )
        if not self._is_direct(exchange):
            raise ClientFault(
                403,
                "forbidden",
                "without RUNTIME_MASTER_KEY this page answers only direct requests from this "
                "machine, addressed to localhost or to an address that the runtime listens on",
            )


def borne_by(exchange: Exchange) -> Collection[tuple[str, str]]:
    """The fields of a request that may be keys."""
    return exchange.kept_aside or exchange.head.headers
