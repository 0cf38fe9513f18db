"""Keeps the cookies of an app on the app's path, unless its manifest says `cookiePath: as-is`.

No app can set the cookies that the runtime itself sets (`affinity`, operators' sessions), on any
path.
"""

from collections.abc import Sequence
from weakref import WeakSet

from buntime.core.apps.app import App
from buntime.core.http1 import operatorscookie, sessioncookie
from buntime.core.http1.answer import FIELDS_MAX
from buntime.core.http1.setcookie import NAME_LENGTH, below, is_for_host, sets_cookie
from buntime.server.telemetry.logs import Log

# Apps whose cookies were logged, each once
_warned_for_host: WeakSet[App] = WeakSet()
_warned_reserved: WeakSet[App] = WeakSet()

_MARK = operatorscookie.NAME  # in the names of all of them

Fields = Sequence[list[str]]


def confine_cookies(fields: Fields, app: App, base: str, log: Log) -> Fields:
    """The header fields of an answer of the app that a client knows as `base`.

    They come from a worker, and may be malformed.
    """
    try:
        if len(fields) > FIELDS_MAX:
            return fields  # for the answer to refuse
        for field in fields:  # most answers set none: a comparison or two for each
            if len(field[0]) == NAME_LENGTH and sets_cookie(field):
                return [
                    _confined(each, app, base, log)
                    for each in fields
                    if _MARK not in each[1] or not _is_reserved(each, app, log)
                ]
    except (AttributeError, LookupError, TypeError, ValueError):
        pass  # for the answer to refuse
    return fields


def _confined(field: list[str], app: App, base: str, log: Log) -> list[str]:
    if app.manifest.cookie_path == "as-is" or not base or not sets_cookie(field):
        return field
    name, value = field
    if not is_for_host(value):
        return [name, below(value, base, (f"/{app.name}",))]
    if app not in _warned_for_host:
        _warned_for_host.add(app)
        cookie = value.partition("=")[0].strip()
        log.warn(
            "cookie.for_host",
            "an app sets a cookie for the whole host, as its name demands",
            app=app.key,
            cookie=cookie[:100],
        )
    return field


def _is_reserved(field: list[str], app: App, log: Log) -> bool:
    if not sets_cookie(field):
        return False
    if not sessioncookie.is_set_by(field[1]) and not operatorscookie.is_set_by(field[1]):
        return False
    if app not in _warned_reserved:
        _warned_reserved.add(app)
        log.warn(
            "cookie.reserved",
            "an app sets a cookie whose name the runtime uses; it is dropped",
            app=app.key,
            cookie=field[1].partition(";")[0].lstrip("= \t").partition("=")[0].strip(),
        )
    return True
