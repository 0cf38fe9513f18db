"""authn: users sign in once, and apps are told who they are. See docs/authn.md."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from authn.app import App, make_app
from authn.operators import Operators
from authn.web import Web
from authn.where import SESSION, cookie, cookie_names, host_of
from buntime.plugin import Continue, plugin

KEPT_S = 60.0  # how long a verdict on a session is kept, unless it is forgotten before
OPERATORS_BASE = "/api/users"

_app: list[App] = []
_web: list[Web] = []
_operators: list[Operators] = []


def on_init() -> None:
    """Open the database, and read the providers."""
    folder = os.environ.get("APP_DATA_DIR")
    if not folder:
        raise RuntimeError("APP_DATA_DIR is not set: this runtime has no writable state folder")
    if plugin.runtime.environment == "production" and not plugin.config["publicUrl"]:
        raise RuntimeError(
            "publicUrl is not set: write plugins.authn.options.publicUrl into the config file, the "
            "URL at which people sign in, like https://example.com"
        )
    app = make_app(plugin.config, Path(folder) / "authn.db", clock=time.time, forget=plugin.forget)
    _app.append(app)
    _web.append(Web(app, plugin.log.warning))
    _operators.append(Operators(app))


def on_shutdown() -> None:
    """Close the database."""
    for app in _app:
        app.database.close()


def on_request(request: Any) -> Continue:
    """Identify the user. The verdict holds for a minute, or until the user signs out."""
    session = _app[0].sessions.find(cookie(request, SESSION), host_of(request))
    kept: dict[str, Any] = {
        "cache_s": KEPT_S,
        "vary": [f"cookie:{cookie_names(request.scheme)}"],
        "any_path": True,
    }
    if session is None:
        return Continue(**kept)
    return Continue(identity=session.identity, tags=session.tags, until=session.expires, **kept)


def fetch(request: Any) -> Any:
    """The pages at /.well-known/buntime/auth/, and for operators those below /api/users."""
    if request.base.endswith(OPERATORS_BASE):
        return _operators[0].answer(request)
    return _web[0].answer(request)
