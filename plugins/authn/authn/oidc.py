"""Signing in at a provider: OpenID Connect with PKCE, state and nonce; or OAuth 2 alone.

OpenID Connect Core 3.1, RFC 7636 (PKCE), RFC 9207 (`iss` in the answer). An ID token is trusted
once its signature, issuer, audience, time and nonce are checked. With OAuth 2 the provider's user
endpoint is used.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from authn.providers import Provider, claim
from authn.remote import ProviderFault, get_json, post_form
from authn.tokens import new_token

_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "RS384", "RS512", "EdDSA")
_LEEWAY_S = 60
_DISCOVERED_S = 3600.0  # how long a provider's own metadata is kept
_KEYS_AGAIN_S = 10.0  # how often keys may be fetched again because of an unknown one
_TEXT_MAX = 200


class Person(NamedTuple):
    """The user who has signed in, as apps see it; `hint` is the ID token, for signing out."""

    identity: dict[str, Any]
    hint: str


class Client:
    """For one provider. Used by several threads."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._lock = threading.Lock()
        self._found: dict[str, Any] = {}
        self._found_at = 0.0
        self._keys: Any = None
        self._keys_at = 0.0

    def begin(self, redirect_uri: str) -> tuple[str, dict[str, str]]:
        """Where the browser goes, and what to keep until it is back.

        Raises ProviderFault.
        """
        kept = {"state": new_token(), "nonce": new_token(), "verifier": new_token()}
        digest = hashlib.sha256(kept["verifier"].encode()).digest()
        params = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.provider.scopes,
            "state": kept["state"],
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if self.provider.kind == "oidc":
            params["nonce"] = kept["nonce"]
            url = self._endpoint("authorization_endpoint")
        else:
            url = self.provider.authorize_url
        return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}", kept

    def finish(
        self, code: str, kept: dict[str, str], redirect_uri: str, issuer: str = ""
    ) -> Person:
        """The user. `issuer` is the answer's `iss`. Raises ProviderFault."""
        if issuer and self.provider.kind == "oidc" and issuer.rstrip("/") != self.provider.issuer:
            raise ProviderFault(f"the answer is from {issuer[:_TEXT_MAX]}, which was not asked")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.provider.client_id,
            "code_verifier": kept["verifier"],
        }
        if self.provider.client_secret:
            form["client_secret"] = self.provider.client_secret
        if self.provider.kind == "oauth2":
            return self._by_user_endpoint(post_form(self.provider.token_url, form))
        tokens = _mapping(post_form(self._endpoint("token_endpoint"), form), "tokens")
        raw = tokens.get("id_token")
        if not isinstance(raw, str):
            raise ProviderFault("there is no ID token among the tokens")
        claims = self.check(raw, kept["nonce"])
        if claim(claims, self.provider.user_claim) is None and "userinfo_endpoint" in self._found:
            claims = {**self._userinfo(tokens, claims), **claims}
        return Person(self._identity(claims), raw)

    def leave_url(self, hint: str, back: str) -> str | None:
        """Where the browser signs out at the provider too, if it offers that."""
        url = self._found.get("end_session_endpoint")
        if self.provider.kind != "oidc" or not isinstance(url, str) or not hint:
            return None
        params = {"id_token_hint": hint, "post_logout_redirect_uri": back}
        return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"

    def check(self, raw: str, nonce: str) -> dict[str, Any]:
        """The claims of a valid ID token. Raises ProviderFault."""
        # They take 100 ms to import, and a small team with passwords does not need them.
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError, JoseError

        try:
            try:
                token = jwt.decode(raw, self._key_set(), algorithms=_ALGORITHMS)
            except (InvalidKeyIdError, ValueError):  # the provider has changed its keys
                token = jwt.decode(raw, self._key_set(anew=True), algorithms=_ALGORITHMS)
            client = self.provider.client_id
            jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self._issuer()},
                aud={"essential": True, "value": client},
                exp={"essential": True},
                iat={"essential": True},
                sub={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(token.claims)
        except (JoseError, ValueError, TypeError) as exc:
            raise ProviderFault(f"the ID token is not valid: {exc}") from exc
        claims: dict[str, Any] = dict(token.claims)
        audience = claims["aud"]
        others = isinstance(audience, list) and len(audience) > 1
        if (others or "azp" in claims) and claims.get("azp") != client:
            raise ProviderFault("the ID token was made for another client")
        return claims

    # How it is done

    def _discover(self) -> dict[str, Any]:
        with self._lock:
            if self._found and time.monotonic() - self._found_at < _DISCOVERED_S:
                return self._found
        url = f"{self.provider.issuer}/.well-known/openid-configuration"
        found = _mapping(get_json(url), "what it says about itself")
        issuer = found.get("issuer")
        if not isinstance(issuer, str) or issuer.rstrip("/") != self.provider.issuer:
            raise ProviderFault(
                f"{url}: its issuer is {str(issuer)[:_TEXT_MAX]}, which is a different one"
            )
        with self._lock:
            self._found, self._found_at = found, time.monotonic()
        return found

    def _issuer(self) -> str:
        """As the provider writes it, with its trailing slash if it has one."""
        return str(self._discover()["issuer"])

    def _endpoint(self, name: str) -> str:
        url = self._discover().get(name)
        if not isinstance(url, str) or not _is_as_safe(url, self.provider.issuer):
            raise ProviderFault(f"{name} is missing, or not an https:// URL")
        return url

    def _key_set(self, *, anew: bool = False) -> Any:
        from joserfc.jwk import KeySet

        now = time.monotonic()
        with self._lock:
            is_fresh = now - self._keys_at < (_KEYS_AGAIN_S if anew else _DISCOVERED_S)
            if self._keys is not None and is_fresh:
                return self._keys
        keys = KeySet.import_key_set(get_json(self._endpoint("jwks_uri")))
        with self._lock:
            self._keys, self._keys_at = keys, now
        return keys

    def _userinfo(self, tokens: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {tokens.get('access_token')}"}
        found = _mapping(get_json(self._endpoint("userinfo_endpoint"), headers), "the user")
        if found.get("sub") != claims["sub"]:  # OpenID Connect Core 5.3.2
            raise ProviderFault("what it says about the user is about another one")
        return found

    def _by_user_endpoint(self, tokens: Any) -> Person:
        access = _mapping(tokens, "tokens").get("access_token")
        if not isinstance(access, str):
            raise ProviderFault(f"there is no token: {str(tokens)[:_TEXT_MAX]}")
        headers = {"Authorization": f"Bearer {access}"}
        claims = _mapping(get_json(self.provider.user_url, headers), "the user")
        return Person(self._identity(claims), "")

    def _identity(self, claims: dict[str, Any]) -> dict[str, Any]:
        provider = self.provider
        user = claim(claims, provider.user_claim)
        if isinstance(user, int) and not isinstance(user, bool):
            user = str(user)
        if not isinstance(user, str) or not user or not user.isprintable() or len(user) > _TEXT_MAX:
            raise ProviderFault(f"it does not report {provider.user_claim} of the user")
        is_oidc_email = provider.kind == "oidc" and provider.user_claim == "email"
        if is_oidc_email and claims.get("email_verified") not in (True, "true"):
            raise ProviderFault("it has not verified the e-mail address, so anybody could claim it")
        identity: dict[str, Any] = {"user": user, "provider": provider.name}
        for key, path in (("name", provider.name_claim), ("email", provider.email_claim)):
            text = claim(claims, path)
            if isinstance(text, str) and text and text.isprintable():
                identity[key] = text[:_TEXT_MAX]
        for key, path in (("roles", provider.roles_claim), ("groups", provider.groups_claim)):
            names = claim(claims, path)
            names = [names] if isinstance(names, str) else names
            if isinstance(names, list):
                identity[key] = [each for each in names if _is_word(each)][:100]
        return identity


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProviderFault(f"{what}: this is not a JSON object")
    return value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _TEXT_MAX and value.isprintable()


def _is_as_safe(url: str, issuer: str) -> bool:
    return urlsplit(url).scheme in ("https", urlsplit(issuer).scheme)
