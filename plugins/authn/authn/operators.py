"""What operators do with users, below /api/users of the runtime's API, which has checked the
caller.

GET    /api/users                    all of them
POST   /api/users                    {"name": "ann", ...} -> the user, and a link
GET    /api/users/NAME               one, and where he has signed in
PATCH  /api/users/NAME               {"roles": [...], "disabled": true, ...}
DELETE /api/users/NAME
POST   /api/users/NAME/reset         a link by which he sets another password
DELETE /api/users/NAME/sessions      sign him out wherever he is
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from authn.times import utc
from authn.users import BadUser
from buntime.plugin import Response

if TYPE_CHECKING:
    from authn.app import App
    from authn.users import User
    from buntime import Request

_KEYS = ("name", "email", "fullName", "roles", "groups")
_COMPARED_MAX = 500  # names


class Operators:
    """Answers these."""

    def __init__(self, app: App) -> None:
        self._app = app

    def answer(self, request: Request) -> Response:
        name, _, what = request.path.strip("/").partition("/")
        name = unquote(name).casefold()
        try:
            return Response.json(*self._answer(request, name, what))
        except BadUser as exc:
            near = self._nearest(name) if exc.code == "user_not_found" else ""
            error = {"code": exc.code, "message": f"{exc}{near}", "requestId": request.id}
            return Response.json({"error": error}, exc.status)

    def _answer(self, request: Request, name: str, what: str) -> tuple[Any, int]:
        users, sessions, method = self._app.users, self._app.sessions, request.method
        is_dry = request.query.get("dryRun") in ("1", "true")
        if not name and method == "GET":
            return self._page(request), 200
        if not name and method == "POST":
            user = (
                users.check(_body(request, _KEYS)) if is_dry else users.add(_body(request, _KEYS))
            )
            return ({"user": user.dump()} if is_dry else self._invited(user, "invite")), 201
        user = users.found(name)
        if not what and method == "GET":
            held = [session.dump() for session in sessions.of(user.name)]
            return {"user": user.dump(), "sessions": held}, 200
        if not what and method == "PATCH":
            return {"user": self._change(user, request, is_dry=is_dry).dump()}, 200
        if not what and method == "DELETE":
            if not is_dry:
                users.remove(user.name)
                sessions.end_user(user.name)
            return {"removed": user.name}, 200
        if what == "reset" and method == "POST":
            return ({"user": user.dump()} if is_dry else self._invited(user, "reset")), 200
        if what == "sessions" and method == "DELETE":
            ended = len(sessions.of(user.name)) if is_dry else sessions.end_user(user.name)
            return {"ended": ended}, 200
        raise BadUser(f"there is no {request.path[:100]}", "not_found", 404)

    def _nearest(self, name: str) -> str:
        """The user who was probably meant. Only operators are told, never who signs in."""
        # Imported here because only a typo needs it.
        from difflib import get_close_matches

        known = [user.name for user in self._app.users.list(most=_COMPARED_MAX)]
        return "".join(f"; did you mean {near}?" for near in get_close_matches(name, known, n=1))

    def _page(self, request: Request) -> dict[str, Any]:
        """By name; the cursor of the next page is the last name of this one."""
        limit, cursor = request.query.get("limit") or "100", request.query.get("cursor") or ""
        found = self._app.users.list(after=cursor, most=int(limit) + 1)
        shown = found[: int(limit)]
        following = shown[-1].name if len(found) > len(shown) else None
        return {"users": [user.dump() for user in shown], "next": following}

    def _change(self, user: User, request: Request, *, is_dry: bool) -> User:
        changes = _body(request, (*_KEYS[1:], "disabled", "secondFactor"))
        if changes.pop("secondFactor", None) not in (None, False):
            raise BadUser("secondFactor: users set it up themselves; write false to remove it")
        takes_factor = "secondFactor" in request.json()
        if is_dry:
            return self._app.users.check({**user.dump(), **changes}, user)
        changed = self._app.users.change(user.name, changes)
        if takes_factor:
            self._app.users.set_totp(user.name, None)
        if changed.is_disabled:
            self._app.sessions.end_user(user.name)
        else:
            self._app.sessions.retell(user.name, changed.identity())
        return self._app.users.found(user.name)

    def _invited(self, user: User, kind: str) -> dict[str, Any]:
        token, expires = self._app.users.link(user.name, kind)
        path = f"/.well-known/buntime/auth/invitation?token={quote(token)}"
        link = f"{self._app.hosts.public_url}{path}"
        return {"user": user.dump(), "link": link, "expiresAt": utc(expires)}


def _body(request: Request, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        body = request.json()
    except ValueError:
        raise BadUser("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadUser("the body is not a JSON object")
    for key in body:
        if key not in keys:
            raise BadUser(f"unknown key {str(key)[:50]}; there are {', '.join(keys)}")
    return dict(body)
