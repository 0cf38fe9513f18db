"""An operator's browser, as far as HTTP goes: a cookie jar, and the headers of its fetch."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from tests.support.client import TIMEOUT_S, Answer
from tests.support.harness import OPERATORS_KEY, Runtime

ADMIN = {"RUNTIME_ADMIN_LISTEN": "127.0.0.1:0"}  # a free port


def address_of(runtime: Runtime) -> str:
    """The URL of the runtime's address for operators."""
    return str(runtime.wait_for_record("operators.listening")["url"])


def signed_in(runtime: Runtime, key: str = OPERATORS_KEY) -> Operator:
    """An operator's browser at the runtime's address for operators, with a session by `key`."""
    operator = Operator(address_of(runtime))
    operator.sign_in(key)
    return operator


class Operator:
    """Sends requests to one address, and keeps the cookies that it gets."""

    def __init__(self, url: str, *, host: str = "") -> None:
        """`host` is the address's name in the Host field, if it differs from that in `url`."""
        self.move(url, host=host)
        self.cookies: dict[str, str] = {}
        self.csrf: str | None = None

    def move(self, url: str, *, host: str = "") -> None:
        """From now on the runtime is at this URL."""
        scheme, self.netloc, *_ = urlsplit(url)
        self.is_tls = scheme == "https"
        self.host = host or self.netloc
        self.origin = f"{scheme}://{self.host}"

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """As fetch() in a page of this address does; a field that is None is left out."""
        sent: dict[str, str | None] = {"Host": self.host, "Sec-Fetch-Site": "same-origin"}
        if method != "GET":
            sent |= {"Origin": self.origin, "X-Buntime-Csrf": self.csrf}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        data = None if body is None else json.dumps(body).encode()
        fields = {name: text for name, text in (sent | dict(fields or {})).items() if text}
        connection = self._connect()
        with contextlib.closing(connection):
            connection.request(method, path, data, fields)  # type: ignore[arg-type]
            answer = connection.getresponse()
            found = Answer(answer.status, answer.headers, answer.read())
        self._keep(found)
        return found

    def _connect(self) -> http.client.HTTPConnection:
        if not self.is_tls:
            return http.client.HTTPConnection(self.netloc, timeout=TIMEOUT_S)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities
        context.check_hostname = False  # the test made the certificate itself
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.netloc, timeout=TIMEOUT_S, context=context)

    def sign_in(self, key: str) -> Any:
        """The API's answer to signing in with `key`."""
        answer = self.ask("POST", "/api/session", {"key": key})
        assert answer.status == 200, answer
        return self._signed_in(answer)

    def look(self) -> Any:
        """Who is signed in."""
        answer = self.ask("GET", "/api/session")
        assert answer.status == 200, answer
        return self._signed_in(answer)

    def _signed_in(self, answer: Answer) -> Any:
        told = answer.json()
        self.csrf = told["csrf"]
        return told

    def _keep(self, answer: Answer) -> None:
        for value in answer.headers.get_all("set-cookie") or ():
            # SimpleCookie takes an attribute that it does not know, such as this, for another
            # cookie.
            for name, morsel in SimpleCookie(value.replace("; Priority=High", "")).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
