"""Talks to providers over HTTP: bounded in time and size, and only to the hosts that are
configured."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

_TIMEOUT_S = 10.0
_SIZE_MAX = 1 << 20
_SHOWN = 200


class ProviderFault(Exception):
    """The provider's answer is invalid or missing; says what happened, for the log."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """A secret is sent only where the options say."""


_opener = urllib.request.build_opener(_NoRedirects)


def get_json(url: str, headers: dict[str, str] | None = None) -> Any:
    """Raises ProviderFault."""
    return _ask(urllib.request.Request(url, headers=_headers(headers)))  # see `providers`


def post_form(url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    """Raises ProviderFault."""
    data = urlencode(form).encode()
    return _ask(urllib.request.Request(url, data=data, headers=_headers(headers)))


def _headers(more: dict[str, str] | None) -> dict[str, str]:
    return {"Accept": "application/json", "User-Agent": "buntime-authn", **(more or {})}


def _ask(request: urllib.request.Request) -> Any:
    where = request.full_url.partition("?")[0]
    try:
        with _opener.open(request, timeout=_TIMEOUT_S) as answer:
            data = answer.read(_SIZE_MAX + 1)
    except urllib.error.HTTPError as exc:
        with exc:
            text = exc.read(_SHOWN).decode("utf-8", "replace")
        raise ProviderFault(f"{where}: {exc.code}: {text}") from exc
    except (OSError, ValueError) as exc:
        raise ProviderFault(f"{where}: {exc}") from exc
    if len(data) > _SIZE_MAX:
        raise ProviderFault(f"{where}: the answer has more than {_SIZE_MAX} bytes")
    try:
        return json.loads(data)
    except ValueError as exc:
        raise ProviderFault(f"{where}: the answer is not JSON") from exc
