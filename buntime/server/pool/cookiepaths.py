"""Has the cookies of an app stay with the app, unless its manifest says `cookiePath: as-is`."""

from collections.abc import Sequence
from weakref import WeakSet

from buntime.core.apps.app import App
from buntime.core.http1.answer import FIELDS_MAX
from buntime.core.http1.setcookie import NAME_LENGTH, below, is_for_host, sets_cookie
from buntime.server.telemetry.logs import Log

_told: WeakSet[App] = WeakSet()  # whose cookies for the whole host were logged, each app's once

Fields = Sequence[list[str]]


def confine_cookies(fields: Fields, app: App, base: str, log: Log) -> Fields:
    """The header fields of an answer of the app that a client knows as `base`.

    They come from a worker, and may be malformed.
    """
    if app.manifest.cookie_path == "as-is" or not base:
        return fields
    try:
        if len(fields) > FIELDS_MAX:
            return fields  # for the answer to refuse
        for field in fields:  # most answers set none: a comparison or two for each
            if len(field[0]) == NAME_LENGTH and sets_cookie(field):
                return [_confined(each, app, base, log) for each in fields]
    except (AttributeError, LookupError, TypeError, ValueError):
        pass  # for the answer to refuse
    return fields


def _confined(field: list[str], app: App, base: str, log: Log) -> list[str]:
    if not sets_cookie(field):
        return field
    name, value = field
    if not is_for_host(value):
        return [name, below(value, base, (f"/{app.name}",))]
    if app not in _told:
        _told.add(app)
        cookie = value.partition("=")[0].strip()
        log.warn(
            "cookie.for_host",
            "an app sets a cookie for the whole host, as browsers want it of its name",
            app=app.key,
            cookie=cookie[:100],
        )
    return field
