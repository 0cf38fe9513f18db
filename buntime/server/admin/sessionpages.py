"""Signing in and out in a browser: with a key, by a one-time link, or in development without."""

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from buntime.core.access.operators import LINK_PATH, PANEL
from buntime.core.access.origins import is_foreign
from buntime.core.access.rights import Caller, admin
from buntime.core.access.sessions import csrf_of
from buntime.core.errors import ClientFault
from buntime.core.http1.operatorscookie import cookie_for
from buntime.core.http1.signin import SIGN_IN
from buntime.core.settings.live import LiveSettings
from buntime.core.values.moments import iso_moment
from buntime.server.admin.api import Handler
from buntime.server.admin.appstate import AtBase
from buntime.server.admin.audit import Audit
from buntime.server.admin.call import Call
from buntime.server.admin.gate import Gate
from buntime.server.admin.links import LINK_S
from buntime.server.admin.operatorsessions import Found, OperatorSessions
from buntime.server.admin.signin import SignIn

_LINK = admin("link", "link")
# The cookie is not sent along with a redirect that began at another site, but it is sent with what
# one of our own pages requests.
_GO_ON = (
    b'<!doctype html><html lang="en"><meta charset="utf-8"><title>Buntime</title>'
    b'<meta http-equiv="refresh" content="0; url=%s">'
    b'<p>You are signed in. <a href="%s">Go on to the panel</a>.\n'
)
_PAGE = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
]


class SessionPages:
    """Serves these pages."""

    def __init__(
        self,
        live: LiveSettings,
        gate: Gate,
        sessions: OperatorSessions,
        audit: Audit,
        *,
        at_base: AtBase,
        urls: Sequence[str],
    ) -> None:
        """`urls` are where operators' sessions are valid: the operators' address first."""
        self._at_base = at_base
        self._live = live
        self._gate = gate
        self._sessions = sessions
        self._audit = audit
        self._urls = urls

    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by route name."""
        return {
            "session.show": self._show,
            "session.begin": self._begin,
            "session.end": self._end,
            "session.link": self._link,
            "session.open": self._open,
        }

    def _show(self, call: Call) -> None:
        if call.caller.source == "socket":
            call.answer(self._session_json(call.caller))
            return
        found = self._gate.session_of(call.exchange)
        if found is not None:
            call.answer(self._session_json(found.caller, found))
            return
        gate, exchange = self._gate, call.exchange
        if gate.bears_any(exchange) or not gate.is_for_operators(exchange):
            call.answer(self._session_json(gate.caller_of(exchange)))
            return
        sign_in = gate.local_sign_in(exchange)
        if sign_in is None:
            raise _nobody()
        self._check_own(call)
        self._sessions.vet(
            exchange,
            lambda why: call.guard(lambda: self._sign_in_near(call, sign_in, why)),
            is_ours=True,
        )

    def _sign_in_near(self, call: Call, sign_in: SignIn, why: str) -> None:
        if why:
            raise _nobody()
        if not call.is_gone:
            self._sign_in(call, sign_in)

    def _begin(self, call: Call) -> None:
        self._check_place(call)
        call.json(lambda value: self._sign_in_by(call, value))

    def _sign_in_by(self, call: Call, value: dict[str, Any]) -> None:
        self._sign_in(call, self._gate.sign_in(call.exchange, value["key"].strip()))

    def _sign_in(self, call: Call, sign_in: SignIn) -> None:
        call.caller = sign_in.caller  # from here on the caller is the new session's
        self._replace(call)

        def answer(found: Found) -> None:
            call.answer(
                self._session_json(found.caller, found), fields=[_cookie(call, found.token)]
            )

        self._sessions.begin(sign_in, answer)
        self._audit.record(call, "session.begin", sign_in.caller.name)

    def _replace(self, call: Call) -> None:
        """End the sessions in the request: another begins in their place."""
        for found in self._sessions.sessions_in(call.exchange):
            self._sessions.end(found.session)

    def _end(self, call: Call) -> None:
        if call.caller.source == "socket":
            self._sessions.know(lambda: call.guard(lambda: self._end_all(call)))
            return
        found = self._gate.session_of(call.exchange)
        if found is None:
            raise _nobody()
        call.caller = found.caller
        if call.query["all"]:
            count = self._sessions.end_all(found.session)
        else:
            count = 1
            self._sessions.end(found.session)
        self._ended(call, found.caller.name, count, [_cookie(call, "")])

    def _end_all(self, call: Call) -> None:
        """By the control socket: everybody's."""
        if not call.query["all"]:
            raise _nobody()
        self._ended(call, "all", self._sessions.end_all(None), [])

    def _ended(self, call: Call, subject: str, count: int, fields: list[tuple[str, str]]) -> None:
        self._audit.record(call, "session.end", subject, after={"sessions": count})
        call.respond(204, [*fields, ("cache-control", "no-store")])

    def _link(self, call: Call) -> None:
        if call.caller.source != "socket":
            raise ClientFault(
                403,
                "socket_only",
                "sign-in links are made at the control socket only: run buntime open on the host",
            )
        if not self._urls:
            raise ClientFault(
                409,
                "no_operators_address",
                "there is no operators' address: set RUNTIME_ADMIN_LISTEN, or see in the log why "
                "it cannot be listened on",
            )
        token = self._sessions.links.make(call.now)
        url = f"{self._urls[0]}{LINK_PATH}?token={token}"
        call.answer({"url": url, "expiresAt": iso_moment(time.time() + LINK_S)}, 201)

    def _open(self, call: Call) -> None:
        exchange = call.exchange
        if not self._gate.is_for_operators(exchange):
            raise ClientFault(404, "not_found", "this is not the operators' address")
        if exchange.head.method != "GET" or "prefetch" in (call.header("sec-purpose") or ""):
            raise ClientFault(403, "not_opened", "a sign-in link must be opened in a browser, once")
        query = parse_qs(dict(exchange.kept_aside).get("query", ""))
        token = query.get("token", [""])[0]
        if not self._sessions.links.use(token, call.now):
            raise ClientFault(
                403,
                "link_used",
                "this link has been used or has expired: get another one with buntime open",
            )
        call.caller = _LINK
        self._replace(call)
        home = f"{exchange.sender.prefix}/{PANEL}/".encode("latin-1")

        def answer(found: Found) -> None:
            call.respond(200, [*_PAGE, _cookie(call, found.token)], _GO_ON % (home, home))

        self._sessions.begin(SignIn(_LINK, b"", "link"), answer)
        self._audit.record(call, "session.begin", "link")

    def _check_place(self, call: Call) -> None:
        if not self._gate.is_for_operators(call.exchange):
            raise ClientFault(
                403, "not_here", "operators sign in at the operators' address: RUNTIME_ADMIN_LISTEN"
            )

    def _check_own(self, call: Call) -> None:
        """Refuse pages of other sites: they may not begin a session."""
        head = call.exchange.head
        if is_foreign(head.headers, host=call.exchange.sender.host or head.host):
            raise ClientFault(403, "cross_site", "this request came from a page of another site")

    def _session_json(self, caller: Caller, found: Found | None = None) -> dict[str, object]:
        ends_at = caller.expires_at if found is None else found.session.ends_at
        return {
            "caller": {
                "name": caller.name,
                "source": caller.source,
                "rights": sorted(caller.verbs),
                "apps": list(caller.globs),
            },
            "csrf": None if found is None else csrf_of(found.token),
            "expiresAt": None if ends_at is None else iso_moment(ends_at),
            "environment": self._live.now.env,
            "users": self._at_base(SIGN_IN) is not None,
        }


def _nobody() -> ClientFault:
    return ClientFault(
        401, "unauthorized", "nobody is signed in here: sign in with a key, or with buntime open"
    )


def _cookie(call: Call, token: str) -> tuple[str, str]:
    is_secure = call.exchange.sender.scheme == "https"
    return "set-cookie", cookie_for(token, is_secure=is_secure)
