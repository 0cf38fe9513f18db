"""What all ways to sign in share: the choice, the end, and what is in between.

A way is a class with `pages()`, by method and path, see `bypassword` and `byprovider`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from authn import pages
from authn.where import FLOW, SESSION, cookie, host_of, origin_of, set_cookie
from buntime.plugin import Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from authn.app import App
    from authn.sessions import Session
    from buntime import Request

    Pages = dict[tuple[str, str], Callable[[Request], Response]]

    class Warn(Protocol):
        """Writes a warning to the log."""

        def __call__(self, message: object, *args: Any) -> None: ...


CODE_S = 30.0  # from the redirect to the other host until it is there
_OLD = "This page has expired, or this browser keeps no cookies."


class Ways:
    """Of one plugin."""

    def __init__(self, app: App, warn: Warn) -> None:
        self.app = app
        self.warn = warn

    def session_of(self, request: Request) -> Session | None:
        return self.app.sessions.find(cookie(request, SESSION), host_of(request))

    def choose(
        self,
        request: Request,
        *,
        problem: str = "",
        name: str = "",
        status: int = 200,
        data: dict[str, Any] | None = None,
    ) -> Response:
        """The page on which users sign in. `data` belongs to a flow that has just begun."""
        base, app = request.base, self.app
        parts = [pages.wrong(problem)]
        if app.has_passwords:
            parts.append(
                pages.form(
                    f"{base}/password",
                    pages.field("name", "Name or e-mail", value=name, autocomplete="username",
                                autocapitalize="none", required=True, autofocus=not name),
                    pages.field("password", "Password", type="password", required=True,
                                autocomplete="current-password", autofocus=bool(name)),
                    button="Sign in",
                )
            )  # fmt: skip
        for each, client in app.clients.items():
            words = f"Sign in with {client.provider.label}"
            parts.append(pages.link(f"{base}/with/{each}", words))
        if len(parts) == 1:
            parts.append(pages.paragraph("There is no way to sign in: passwords are off, and no "
                                         "provider is named in the options of authn."))  # fmt: skip
        return pages.page(base, "Sign in", *parts, status=status, to=self.targets(request, data))

    def targets(self, request: Request, data: dict[str, Any] | None = None) -> list[str]:
        """Where the forms of this sign-in may lead: browsers also check redirects after them."""
        data = data or self.app.flows.find(cookie(request, FLOW)) or {}
        return [data["for"]["origin"]] if "for" in data else []

    def finish(
        self,
        request: Request,
        flow: str,
        data: dict[str, Any],
        identity: dict[str, Any],
        provider: str,
        hint: str = "",
    ) -> Response:
        """The user has signed in: make a session here, and redirect to the requested page."""
        app = self.app
        if not app.flows.end(flow):
            return self.too_old(request)  # the same form, sent twice
        before = self.session_of(request)
        if before is not None:
            app.sessions.end_login(before.login)
        token, session = app.sessions.begin(
            identity, host_of(request), provider=provider, hint=hint
        )
        if "for" in data:
            response = self.carry_over(data["for"], session)
        else:
            response = self.to_arrive(request, data["to"])
        set_cookie(request, response, SESSION, token, session.expires - app.clock())
        return response

    def carry_over(self, target: dict[str, Any], session: Session) -> Response:
        """Redirect to the other host, with a code that opens a session only for this browser."""
        code = self.app.flows.begin(
            {"enter": target["flow"], "session": session._asdict()}, lasts_s=CODE_S
        )
        url = f"{target['origin']}{target['base']}/enter?{urlencode({'code': code})}"
        return Response.redirect(url, 303, [("cache-control", "no-store")])

    def to_arrive(self, request: Request, to: str) -> Response:
        url = f"{request.base}/arrive?{urlencode({'to': to})}"
        return Response.redirect(url, 303, [("cache-control", "no-store")])

    def too_old(self, request: Request) -> Response:
        again = pages.link(f"{request.base}/sign-in", "Sign in")
        return pages.page(request.base, "Begin again", pages.wrong(_OLD), again, status=400)

    def redirect_uri(self, request: Request) -> str:
        if self.app.hosts.public_url:
            return f"{self.app.hosts.public_url}/.well-known/buntime/auth/callback"
        return f"{origin_of(request)}{request.base}/callback"
