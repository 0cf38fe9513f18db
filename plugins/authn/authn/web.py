"""The pages at /.well-known/buntime/auth/, on every host.

    GET  sign-in?to=/shop/     begin, and choose how; for=HANDLE where it is for another host
    POST password, POST code   by password, and the second factor
    GET  with/NAME, callback   by a provider
    GET  enter?code=           carry a sign-in over to another host
    GET  arrive?to=            look whether the browser has kept the cookie, then go on
    GET, POST sign-out         here and at the other hosts of the sign-in
    GET  me                    who has signed in, as JSON
    account, invitation        see `account`

Every change must be posted by a form of this host, and come from the browser that began the flow:
its cookie proves that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from authn import account, pages
from authn.bypassword import ByPassword
from authn.byprovider import ByProvider
from authn.tokens import hash_of
from authn.ways import Ways
from authn.where import (
    FLOW,
    SESSION,
    cookie,
    host_of,
    is_own_form,
    origin_of,
    safe_path,
    set_cookie,
)
from buntime.plugin import Response

if TYPE_CHECKING:
    from authn.app import App
    from authn.sessions import Session
    from authn.ways import Pages, Warn
    from buntime import Request

_FLOW_COOKIE_S = 1800.0


class Web:
    """Answers all of these."""

    def __init__(self, app: App, warn: Warn) -> None:
        self._app = app
        self._ways = ways = Ways(app, warn)
        self._pages: Pages = {
            ("GET", pages.STYLE_PATH): lambda _: pages.style(),
            ("GET", "/sign-in"): self._begin,
            ("GET", "/enter"): self._enter,
            ("GET", "/arrive"): self._arrive,
            ("GET", "/sign-out"): self._ask_to_leave,
            ("POST", "/sign-out"): self._leave,
            ("GET", "/signed-out"): self._has_left,
            ("GET", "/me"): self._me,
            **ByPassword(ways).pages(),
            **ByProvider(ways).pages(),
            **account.pages_of(ways),
        }

    def answer(self, request: Request) -> Response:
        """Answer a request below the base."""
        method = "GET" if request.method == "HEAD" else request.method
        if not host_of(request):
            return Response.json({"error": "there is no such host"}, 400)
        answer = self._pages.get((method, request.path))
        if answer is None:
            known = {each for each, path in self._pages if path == request.path}
            status = 405 if known else 404
            return pages.page(request.base, "There is no such page", status=status)
        if method == "POST" and not is_own_form(request):
            return pages.page(request.base, "This form is from another site", status=403)
        return answer(request)

    def _begin(self, request: Request) -> Response:
        host, app = host_of(request), self._app
        if not app.hosts.is_public(host):
            return self._send_to_public(request, host)
        data: dict[str, Any] = {"to": safe_path(request.query.get("to"))}
        handle = request.query.get("for")
        if handle is not None:
            target = app.flows.find(handle)
            if target is None or "origin" not in target:
                return self._ways.too_old(request)
            data = {"to": "/", "for": target}
            session = self._ways.session_of(request)
            if session is not None:  # signed in already: no question
                return self._ways.carry_over(target, session)
        response = self._ways.choose(request, data=data)
        token = app.flows.begin(data)
        if not app.has_passwords and len(app.clients) == 1:
            response = Response.redirect(f"{request.base}/with/{next(iter(app.clients))}", 303)
        set_cookie(request, response, FLOW, token, _FLOW_COOKIE_S)
        return response

    def _send_to_public(self, request: Request, host: str) -> Response:
        hosts, flows = self._app.hosts, self._app.flows
        if not hosts.may_enter(host):
            return pages.page(
                request.base,
                "Nobody can sign in here",
                pages.paragraph(
                    f"People sign in at {hosts.public_url}, which is not for {host}: an operator "
                    "has to write it into the option hosts of authn."
                ),
                status=403,
            )
        token = flows.begin({"to": safe_path(request.query.get("to"))})
        handle = flows.begin(
            {"origin": origin_of(request), "base": request.base, "flow": hash_of(token)}
        )
        query = urlencode({"for": handle})
        base = f"{hosts.public_path}/.well-known/buntime/auth"
        url = f"{hosts.public_url[: len(hosts.public_url) - len(hosts.public_path)]}{base}/sign-in"
        response = Response.redirect(f"{url}?{query}", 303, [("cache-control", "no-store")])
        set_cookie(request, response, FLOW, token, _FLOW_COOKIE_S)
        return response

    def _enter(self, request: Request) -> Response:
        app, flow = self._app, cookie(request, FLOW)
        data, code = app.flows.find(flow), app.flows.take(request.query.get("code"))
        if data is None or flow is None or code is None or code.get("enter") != hash_of(flow):
            return self._ways.too_old(request)
        app.flows.end(flow)
        given = code["session"]
        if not app.sessions.is_login(given["login"]):
            return self._ways.too_old(request)  # he has signed out meanwhile
        token, session = app.sessions.begin(
            given["identity"],
            host_of(request),
            provider=given["provider"],
            hint=given["hint"],
            login=given["login"],
            created=given["created"],
        )
        response = self._ways.to_arrive(request, data["to"])
        set_cookie(request, response, SESSION, token, session.expires - app.clock())
        return response

    def _arrive(self, request: Request) -> Response:
        to = safe_path(request.query.get("to"))
        if self._ways.session_of(request) is not None:
            return Response.redirect(to, 303, [("cache-control", "no-store")])
        why = "Your browser did not keep the cookie that identifies you here."
        hint = "Allow cookies for this site"
        if request.scheme == "https":
            hint += ", and make sure that it is always opened with https"
        parts = [pages.wrong(why), pages.paragraph(f"{hint}, then sign in again.")]
        again = f"{request.base}/sign-in?{urlencode({'to': to})}"
        return pages.page(
            request.base, "You are not signed in", *parts, pages.link(again, "Sign in"), status=403
        )

    # Leaving

    def _ask_to_leave(self, request: Request) -> Response:
        session, base = self._ways.session_of(request), request.base
        if session is None:
            return self._has_left(request)
        url = self._leave_url(request, session)
        who = session.identity.get("name") or session.user
        return pages.page(
            base,
            "Sign out",
            pages.paragraph(f"You are signed in as {who}."),
            pages.form(f"{base}/sign-out", button="Sign out"),
            pages.link(f"{base}/account", "Your account"),
            to=[url] if url else [],
        )

    def _leave(self, request: Request) -> Response:
        session = self._ways.session_of(request)
        url = self._leave_url(request, session) if session is not None else None
        if session is not None:
            self._app.sessions.end_login(session.login)
        response = Response.redirect(url or f"{request.base}/signed-out", 303)
        response.headers.set("clear-site-data", '"cache"')
        set_cookie(request, response, SESSION, "", 0)
        return response

    def _leave_url(self, request: Request, session: Session) -> str | None:
        client = self._app.clients.get(session.provider)
        back = f"{self._ways.redirect_uri(request).removesuffix('/callback')}/signed-out"
        return client.leave_url(session.hint, back) if client is not None else None

    def _has_left(self, request: Request) -> Response:
        again = pages.link(f"{request.base}/sign-in", "Sign in")
        return pages.page(request.base, "You are signed out", again)

    def _me(self, request: Request) -> Response:
        session = self._ways.session_of(request)
        headers = [("cache-control", "no-store")]
        if session is None:
            return Response.json({"error": {"code": "sign_in_needed"}}, 401, headers)
        return Response.json(session.identity, 200, headers)
