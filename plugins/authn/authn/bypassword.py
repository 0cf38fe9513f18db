"""Signing in by password, and by a code of an authenticator app if the user has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authn import pages, passwords, secondfactor
from authn.where import FLOW, cookie, posted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from authn.users import User
    from authn.ways import Pages, Ways
    from buntime import Request
    from buntime.plugin import Response

_SECOND_S = 300.0  # to type the code in
_WRONG = "The name or the password is wrong."


class ByPassword:
    """Answers these pages."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._app = ways.app

    def pages(self) -> Pages:
        """By method and path."""
        return {("POST", "/password"): self._password, ("POST", "/code"): self._code}

    def _password(self, request: Request) -> Response:
        flow = cookie(request, FLOW)
        data = self._app.flows.find(flow)
        name, password = posted(request, "name"), posted(request, "password")
        if data is None or flow is None:
            return self._ways.too_old(request)
        if not self._app.has_passwords:
            return self._ways.choose(request, problem="Passwords are off.", status=403)
        with self._guess(request, name) as wait_s:
            if wait_s:
                return self._late(request, name, wait_s)
            return self._look_at(request, flow, data, name, password)

    def _look_at(
        self, request: Request, flow: str, data: dict[str, Any], name: str, password: str
    ) -> Response:
        user = self._app.users.by_login(name)
        kept = user.password if user is not None and not user.is_disabled else None
        if not passwords.is_password(password, kept) or user is None or kept is None:
            self._on_wrong(request, name)
            return self._ways.choose(request, problem=_WRONG, name=name, status=401)
        if passwords.is_outdated(kept):
            self._app.users.renew_hash(user.name, password)
        if user.totp is not None:
            late_s = self._app.clock() + _SECOND_S
            self._app.flows.say(flow, {**data, "user": user.name, "until": late_s})
            return self._ask_for_code(request)
        self._app.throttle.on_right(_address(request), _key(name))
        return self._ways.finish(request, flow, data, user.identity(), "password")

    def _ask_for_code(self, request: Request, *, problem: str = "", status: int = 200) -> Response:
        base = request.base
        entry = pages.field(
            "code", "Code of your authenticator app", inputmode="numeric", required=True,
            autocomplete="one-time-code", autofocus=True,
        )  # fmt: skip
        parts = [pages.wrong(problem), pages.form(f"{base}/code", entry, button="Go on")]
        return pages.page(
            base, "Second factor", *parts, status=status, to=self._ways.targets(request)
        )

    def _code(self, request: Request) -> Response:
        flow = cookie(request, FLOW)
        data = self._app.flows.find(flow)
        if data is None or flow is None or data.get("until", 0.0) < self._app.clock():
            return self._ways.too_old(request)
        user = self._app.users.find(data["user"])
        with self._guess(request, data["user"]) as wait_s:
            if wait_s:
                return self._late(request, data["user"], wait_s)
            if user is None or user.is_disabled or not self._is_code(user, posted(request, "code")):
                self._on_wrong(request, data["user"])
                return self._ask_for_code(
                    request, problem="This is not the current code.", status=401
                )
            self._app.throttle.on_right(_address(request), _key(user.name))
            return self._ways.finish(request, flow, data, user.identity(), "password")

    def _is_code(self, user: User, code: str) -> bool:
        step = secondfactor.step_of(user.totp or "", code, self._app.clock())
        return step is not None and self._app.users.use_step(user.name, step)

    def _guess(self, request: Request, name: str) -> AbstractContextManager[float]:
        return self._app.throttle.guess(_address(request), _key(name), self._app.clock())

    def _late(self, request: Request, name: str, wait_s: float) -> Response:
        words = f"Too many failed attempts. Wait {wait_s:.0f} seconds."
        answer = self._ways.choose(request, problem=words, name=name, status=429)
        answer.headers.set("retry-after", f"{wait_s:.0f}")
        return answer

    def _on_wrong(self, request: Request, name: str) -> None:
        self._app.throttle.on_wrong(_address(request), _key(name), self._app.clock())
        self._ways.warn("wrong password for %r from %s", name[:100], _address(request))


def _address(request: Request) -> str:
    return request.client[0] if request.client else ""


def _key(name: str) -> str:
    return name.strip().casefold()[:200]
