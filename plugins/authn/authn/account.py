"""What users do themselves: accept an invitation, change the password, set up a second factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authn import pages, passwords, secondfactor
from authn.where import host_of, posted
from buntime.plugin import Response

if TYPE_CHECKING:
    from authn.sessions import Session
    from authn.users import User
    from authn.ways import Pages, Ways
    from buntime import Request

_NEW: dict[str, Any] = {"type": "password", "autocomplete": "new-password", "required": True}
_OLD: dict[str, Any] = {"type": "password", "autocomplete": "current-password", "required": True}


def pages_of(ways: Ways) -> Pages:
    """By method and path."""
    account, invitation = _Account(ways), _Invitation(ways)
    return {
        ("GET", "/invitation"): invitation.show,
        ("POST", "/invitation"): invitation.take,
        ("GET", "/account"): account.show,
        ("POST", "/account/password"): account.change_password,
        ("POST", "/account/factor"): account.begin_factor,
        ("POST", "/account/factor/confirm"): account.confirm_factor,
        ("POST", "/account/factor/remove"): account.remove_factor,
        ("POST", "/account/sign-out"): account.sign_out_everywhere,
    }


class _Invitation:
    def __init__(self, ways: Ways) -> None:
        self._app = ways.app

    def show(self, request: Request, problem: str = "", status: int = 200) -> Response:
        token = request.query.get("token") or ""
        user = self._app.users.by_link(token)
        if user is None:
            return _no_link(request)
        return self._form(request, user, token, problem, status)

    def take(self, request: Request) -> Response:
        token, password = posted(request, "token"), posted(request, "password")
        user = self._app.users.by_link(token)
        if user is None:
            return _no_link(request)
        if password != posted(request, "again"):
            return self._form(request, user, token, "The two passwords differ.", 400)
        try:
            taken = self._app.users.take_link(token, password)
        except passwords.WeakPassword as exc:
            return self._form(request, user, token, str(exc), 400)
        if taken is None:
            return _no_link(request)
        self._app.sessions.end_user(taken.name)
        link = pages.link(f"{request.base}/sign-in", "Sign in")
        return pages.page(request.base, "Your password is set", link)

    def _form(
        self, request: Request, user: User, token: str, problem: str, status: int
    ) -> Response:
        form = pages.form(
            f"{request.base}/invitation",
            pages.field("password", "New password", minlength=passwords.LENGTH_MIN, **_NEW),
            pages.field("again", "Once more", **_NEW),
            button="Set the password",
            token=token,
        )
        words = pages.paragraph(f"For {user.name}: at least {passwords.LENGTH_MIN} characters.")
        return pages.page(
            request.base, "Set a password", pages.wrong(problem), words, form, status=status
        )


class _Account:
    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._app = ways.app

    def show(self, request: Request, problem: str = "", status: int = 200) -> Response:
        session = self._ways.session_of(request)
        if session is None:
            return Response.redirect(f"{request.base}/sign-in?to={request.base}/account", 303)
        user, base = self._user(session), request.base
        parts = [pages.wrong(problem), pages.paragraph(f"You are {session.user}.")]
        parts.append(pages.link(f"{base}/sign-out", "Sign out"))
        if user is not None:
            parts += [*_password_form(base), *_factor_form(base, user)]
        parts.append("<h2>Where you are signed in</h2><ul>")
        parts += [
            f"<li>{pages.text(each.host)}, by {pages.text(each.provider)}</li>"
            for each in self._app.sessions.of(session.user)
        ]
        parts += ["</ul>", pages.form(f"{base}/account/sign-out", button="Sign out everywhere")]
        return pages.page(base, "Your account", *parts, status=status)

    def change_password(self, request: Request) -> Response:
        user, new = self._confirmed_user(request), posted(request, "new")
        if user is None:
            return self.show(request, *_WRONG_PASSWORD)
        if new != posted(request, "again"):
            return self.show(request, "The two passwords differ.", 400)
        try:
            self._app.users.set_password(user.name, new)
        except passwords.WeakPassword as exc:
            return self.show(request, str(exc), 400)
        # All other sessions of the user end; the user signs in with the new password.
        self._app.sessions.end_user(user.name)
        return self._signed_out(request, "Your password is changed")

    def begin_factor(self, request: Request) -> Response:
        user = self._confirmed_user(request)
        if user is None:
            return self.show(request, *_WRONG_PASSWORD)
        secret, base = secondfactor.new_secret(), request.base
        kept = self._app.flows.begin({"factor": secret, "of": user.name})
        uri = secondfactor.uri_of(secret, user.name, host_of(request))
        form = pages.form(
            f"{base}/account/factor/confirm",
            pages.field("code", "Its code", inputmode="numeric", autocomplete="one-time-code"),
            button="Set up a second factor",
            token=kept,
        )
        words = pages.paragraph("Enter this key into your authenticator app, then its code here:")
        key = f"<p><code>{pages.text(secret)}</code></p>"
        open_it = f'<p><a href="{pages.text(uri)}">Open it in an app on this device</a></p>'
        return pages.page(base, "Second factor", words, key, open_it, form)

    def confirm_factor(self, request: Request) -> Response:
        session, token = self._ways.session_of(request), posted(request, "token")
        flow = self._app.flows.find(token)
        user = self._user(session) if session is not None else None
        if flow is None or user is None or flow.get("of") != user.name:
            return self.show(request, "This page has expired.", 400)
        step = secondfactor.step_of(flow["factor"], posted(request, "code"), self._app.clock())
        if step is None:
            return self.show(request, "That was not the current code. Start again.", 400)
        self._app.flows.end(token)
        self._app.users.set_totp(user.name, flow["factor"], step)
        self._app.sessions.end_user(user.name)
        return self._signed_out(request, "You have a second factor")

    def remove_factor(self, request: Request) -> Response:
        user = self._confirmed_user(request)
        if user is None:
            return self.show(request, *_WRONG_PASSWORD)
        self._app.users.set_totp(user.name, None)
        return self.show(request)

    def sign_out_everywhere(self, request: Request) -> Response:
        session = self._ways.session_of(request)
        if session is not None:
            self._app.sessions.end_user(session.user)
        return self._signed_out(request, "You are signed out")

    def _signed_out(self, request: Request, title: str) -> Response:
        return pages.page(request.base, title, pages.link(f"{request.base}/sign-in", "Sign in"))

    def _user(self, session: Session) -> User | None:
        """The user who signs in by password here; None for users of a provider."""
        return self._app.users.find(session.user) if session.provider == "password" else None

    def _confirmed_user(self, request: Request) -> User | None:
        """The user, if the password was entered correctly again. Wrong ones are counted."""
        session = self._ways.session_of(request)
        user = self._user(session) if session is not None else None
        if user is None:
            return None
        address, now = request.client[0] if request.client else "", self._app.clock()
        with self._app.throttle.guess(address, user.name, now) as wait_s:
            if wait_s:
                return None
            if passwords.is_password(posted(request, "password"), user.password):
                return user
            self._app.throttle.on_wrong(address, user.name, now)
        return None


_WRONG_PASSWORD = ("That was not your password, or there were too many failed attempts.", 403)


def _password_form(base: str) -> list[str]:
    form = pages.form(
        f"{base}/account/password",
        pages.field("password", "Present password", **_OLD),
        pages.field("new", "New password", minlength=passwords.LENGTH_MIN, **_NEW),
        pages.field("again", "Once more", **_NEW),
        button="Change it",
    )
    return ["<h2>Password</h2>", form]


def _factor_form(base: str, user: User) -> list[str]:
    has = user.totp is not None
    action = f"{base}/account/factor/remove" if has else f"{base}/account/factor"
    words = (
        "You have one." if has else ("Codes of an authenticator app, in addition to the password.")
    )
    entry = pages.field("password", "Password", key="factor-password", **_OLD)
    form = pages.form(action, entry, button="Remove it" if has else "Set one up")
    return ["<h2>Second factor</h2>", pages.paragraph(words, quiet=True), form]


def _no_link(request: Request) -> Response:
    words = "This link was used already, or has expired. Ask whoever sent it for a new one."
    return pages.page(request.base, "This link is not valid", pages.wrong(words), status=404)
