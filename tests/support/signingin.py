"""authn without a runtime: its pages, and a browser that keeps cookies and follows redirects."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from authn.app import App, make_app
from authn.operators import Operators
from authn.web import Web
from buntime import Request, Response

BASE = "/.well-known/buntime/auth"
PASSWORD = "correct horse battery"
CONFIG: dict[str, Any] = {
    "publicUrl": "",
    "hosts": [],
    "passwords": True,
    "providers": {},
    "clientSecrets": None,
    "idleHours": 24,
    "maxHours": 240,
}


class Clock:
    """The test's time, in seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Signing:
    """authn with these options, and what it reported."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.clock = Clock()
        self.forgotten: list[str] = []
        self.warnings: list[str] = []
        self.app: App = make_app(
            {**CONFIG, **config},
            folder / "authn.db",
            clock=self.clock,
            forget=self.forgotten.append,
        )
        self.web = Web(self.app, lambda message, *args: self.warnings.append(str(message) % args))
        self.operators = Operators(self.app)

    def add(self, name: str = "ann", password: str = PASSWORD, **said: Any) -> None:
        """A user who has accepted the invitation."""
        self.app.users.add({"name": name, **said})
        token, _ = self.app.users.link(name, "invite")
        assert self.app.users.take_link(token, password) is not None

    def close(self) -> None:
        self.app.database.close()


class Page:
    """The final page, and the way to it."""

    def __init__(self, url: str, response: Response, way: list[str]) -> None:
        self.url = url
        self.way = way  # the URLs in between
        self.status = response.status
        self.headers = response.headers
        self.text = response.body.decode() if isinstance(response.body, bytes) else ""

    @property
    def title(self) -> str:
        found = re.search("<title>(.*?)</title>", self.text)
        return html.unescape(found[1]) if found else ""

    @property
    def problem(self) -> str:
        found = re.search('class="wrong" role="alert">(.*?)</p>', self.text)
        return html.unescape(found[1]) if found else ""

    def hidden(self, name: str) -> str:
        found = re.search(f'type="hidden" name="{name}" value="(.*?)"', self.text)
        assert found is not None, self.text
        return html.unescape(found[1])


class Browser:
    """One person's browser. `elsewhere` answers for URLs outside authn's pages: a provider's."""

    def __init__(self, signing: Signing, address: str = "203.0.113.7") -> None:
        self.signing = signing
        self.address = address
        self.keeps_cookies = True
        self.cookies: dict[str, dict[str, str]] = {}  # by host without port, as browsers have it

    def get(self, url: str, **headers: str) -> Page:
        return self._follow("GET", url, None, headers)

    def post(self, url: str, form: dict[str, str], **headers: str) -> Page:
        return self._follow("POST", url, form, headers)

    def ask(
        self, method: str, url: str, form: dict[str, str] | None = None, **headers: str
    ) -> Response:
        """One request, without following redirects."""
        parts = urlsplit(url)
        jar = self.cookies.setdefault(parts.hostname or "", {})
        fields = [("host", parts.netloc), *((k.replace("_", "-"), v) for k, v in headers.items())]
        if jar:
            fields.append(("cookie", "; ".join(f"{name}={value}" for name, value in jar.items())))
        body = None
        if form is not None:
            fields.append(("content-type", "application/x-www-form-urlencoded"))
            body = Body(urlencode(form).encode())
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        request = Request(
            method, target, BASE, fields, scheme=parts.scheme, client=(self.address, 1), body=body
        )
        response = self.signing.web.answer(request)
        for line in response.headers.getall("set-cookie"):
            self._keep(jar, line, parts.scheme)
        return response

    def _keep(self, jar: dict[str, str], line: str, scheme: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes), line
        assert ("Secure" in attributes) == (scheme == "https") == name.startswith("__Host-"), line
        jar.pop(name, None)
        if self.keeps_cookies and "Max-Age=0" not in attributes:
            jar[name] = value

    def _follow(
        self, method: str, url: str, form: dict[str, str] | None, headers: dict[str, str]
    ) -> Page:
        way: list[str] = []
        while True:
            response = self.ask(method, url, form, **headers)
            target = response.headers.get("location")
            if target is None:
                return Page(url, response, way)
            way.append(url)
            method, form, headers, url = "GET", None, {}, urljoin(url, target)
            if not urlsplit(url).path.startswith(BASE):
                return Page(url, Response(None, 204), way)


class Body:
    """The body of a request."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, limit: int) -> bytes:
        piece, self._content = self._content[:limit], self._content[limit:]
        return piece
