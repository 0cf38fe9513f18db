"""The providers that the options name, checked.

providers:
  google: {issuer: https://accounts.google.com, clientId: 123.apps.googleusercontent.com}
  github: {kind: oauth2, clientId: abc, authorizeUrl: ..., tokenUrl: ..., userUrl: ...}
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_KEYS = {
    "kind": "oidc",
    "label": "",
    "issuer": "",
    "clientId": "",
    "scopes": None,
    "userClaim": None,
    "nameClaim": "name",
    "emailClaim": "email",
    "rolesClaim": "",
    "groupsClaim": "groups",
    "authorizeUrl": "",
    "tokenUrl": "",
    "userUrl": "",
}


class BadProvider(Exception):
    """An option of a provider is invalid; says which, and what to do."""


class Provider(NamedTuple):
    """A provider of identities. Claims are paths: "realm_access.roles"."""

    name: str
    kind: str  # "oidc"; "oauth2": by its user endpoint
    label: str
    issuer: str
    client_id: str
    client_secret: str
    scopes: str
    user_claim: str
    name_claim: str
    email_claim: str
    roles_claim: str
    groups_claim: str
    authorize_url: str
    token_url: str
    user_url: str


def providers_of(options: dict[str, Any], secrets_text: str | None) -> dict[str, Provider]:
    """By name, in the order of the options. Raises BadProvider."""
    secrets = _secrets(secrets_text, list(options))
    return {name: _provider(name, given, secrets.get(name, "")) for name, given in options.items()}


def claim(claims: dict[str, Any], path: str) -> Any:
    """The value at `"realm_access.roles"`; None if there is none. A name with dots takes
    precedence."""
    if not path:
        return None
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _provider(name: str, given: Any, secret: str) -> Provider:
    if not _NAME.fullmatch(name):
        raise BadProvider(f"providers: {name!r} is not a name; write small letters, digits and -")
    if not isinstance(given, dict):
        raise BadProvider(f"providers.{name}: write a mapping like {{issuer: ..., clientId: ...}}")
    for key in given:
        if key not in _KEYS:
            raise BadProvider(f"providers.{name}: unknown key {key} (allowed: {', '.join(_KEYS)})")
    values = {**_KEYS, **given}
    for key, value in values.items():
        if value is not None and not isinstance(value, str):
            raise BadProvider(f"providers.{name}.{key}: write text")
    is_oidc = values["kind"] == "oidc"
    if not is_oidc and values["kind"] != "oauth2":
        raise BadProvider(f"providers.{name}.kind: write oidc or oauth2")
    if not values["clientId"]:
        raise BadProvider(f"providers.{name}: clientId is missing")
    for key in ("issuer",) if is_oidc else ("authorizeUrl", "tokenUrl", "userUrl"):
        _check_url(f"providers.{name}.{key}", values[key])
    return Provider(
        name=name,
        kind=values["kind"],
        label=values["label"] or name.capitalize(),
        issuer=values["issuer"].rstrip("/"),
        client_id=values["clientId"],
        client_secret=secret,
        scopes=values["scopes"] or ("openid email profile" if is_oidc else "read:user"),
        user_claim=values["userClaim"] or ("email" if is_oidc else "login"),
        name_claim=values["nameClaim"],
        email_claim=values["emailClaim"],
        roles_claim=values["rolesClaim"],
        groups_claim=values["groupsClaim"],
        authorize_url=values["authorizeUrl"],
        token_url=values["tokenUrl"],
        user_url=values["userUrl"],
    )


def _check_url(where: str, text: str) -> None:
    try:
        url = urlsplit(text)
        is_safe = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
    except ValueError:
        is_safe, url = False, urlsplit("")
    if not is_safe or not url.hostname or url.username is not None:
        raise BadProvider(f"{where}: write a URL that begins with https://")


def _secrets(text: str | None, names: list[str]) -> dict[str, str]:
    if not text:
        return {}
    if not text.lstrip().startswith("{"):
        if len(names) == 1:
            return {names[0]: text.strip()}
        raise BadProvider('clientSecrets: with several providers write JSON like {"google": "..."}')
    try:
        found = json.loads(text)
    except ValueError:
        raise BadProvider("clientSecrets: this is not JSON") from None
    if not all(isinstance(value, str) for value in found.values()):
        raise BadProvider('clientSecrets: write texts by the names of providers, {"google": "..."}')
    if unknown := [name for name in found if name not in names]:
        raise BadProvider(f"clientSecrets: there is no provider {unknown[0]}")
    return dict(found)
