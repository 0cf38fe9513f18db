"""An OpenID Connect provider on a port of this machine that answers as a test says."""

from __future__ import annotations

import hashlib
import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

CLIENT, SECRET = "buntime", "the client's secret"


class Provider:
    """A provider; a test may change its answers: `claims`, `discovery`, `token`, `key`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = new_key("one")
        self.claims: dict[str, Any] = {"email": "ann@example.com", "email_verified": True}
        self.discovery: dict[str, Any] = {}
        self.token: dict[str, Any] = {}  # overrides of the token's answer
        self.user: dict[str, Any] = {"login": "ann", "id": 7}
        self.raw: bytes | None = None  # the whole answer of the token endpoint
        self.asked: list[str] = []  # paths
        self._codes: dict[str, dict[str, str]] = {}

    def authorize(self, url: str) -> str:
        """Where the browser is sent once its user agrees."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        said = {"code": code, "state": asked["state"], "iss": self.url}
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def answer(self, path: str, form: dict[str, str]) -> Any:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "userinfo_endpoint": f"{self.url}/me",
                "end_session_endpoint": f"{self.url}/end",
                **self.discovery,
            }
        if path == "/jwks":
            return KeySet([self.key]).as_dict(private=False)
        if path == "/token":
            return self._tokens(form)
        return self.user if path in ("/me", "/user") else None

    def _tokens(self, form: dict[str, str]) -> dict[str, Any] | None:
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge:
            return None
        if form.get("client_secret") != SECRET or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        return {"access_token": "a", "id_token": self.sign(asked.get("nonce", "")), **self.token}

    def sign(self, nonce: str, **claims: Any) -> str:
        said = {"iss": self.url, "sub": "7", "aud": CLIENT, "nonce": nonce, "iat": 1, "exp": 2**40}
        key = self.key
        return jwt.encode({"alg": "ES256", "kid": key.kid}, {**said, **self.claims, **claims}, key)


def new_key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": name}, auto_kid=False)


@contextmanager
def oidc_provider() -> Iterator[Provider]:
    """A running provider."""
    made: list[Provider] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(data).items()})

        def _answer(self, form: dict[str, str]) -> None:
            told = made[0].answer(urlsplit(self.path).path, form)
            raw = made[0].raw if self.path == "/token" else None
            body = raw if raw is not None else json.dumps(told).encode()
            self.send_response(200 if told is not None else 400)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.append(Provider(server.server_port))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield made[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
