"""Keeps what an app tells browsers to the app, unless it has its host to itself.

Its cookies stay on its path, unless its manifest says `cookiePath: as-is`, and fields that act on
the whole host are left out, see core/http1/hostfields.py. An app at `/` of a host may send them.
So may plugins, as their hooks may for all apps; but not at the operators' address, see
`OperatorsExchange`.

No app can set the cookies that the runtime itself sets (`affinity`, operators' sessions), on any
path.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from buntime.core.access.rules import PLUGIN_PREFIX
from buntime.core.apps.app import App
from buntime.core.http1 import operatorscookie, sessioncookie
from buntime.core.http1.answer import FIELDS_MAX, RepeatedFields
from buntime.core.http1.hostfields import LENGTHS, SCOPE, acts_on_host, scope_below
from buntime.core.http1.setcookie import below, is_for_host, sets_cookie
from buntime.server.telemetry.logs import Log

# What was logged of each app, once. The names are from a table, so there are few.
_warned: WeakKeyDictionary[App, set[str]] = WeakKeyDictionary()

_MARK = operatorscookie.NAME  # in the names of all of them

Fields = Sequence[list[str]]


def confine(fields: Fields, app: App, base: str, log: Log) -> Fields:
    """The header fields of an answer of the app that a client knows as `base`.

    They come from a worker, and may be malformed.
    """
    try:
        if type(fields) is RepeatedFields and fields.are_harmless:
            return fields
        if len(fields) > FIELDS_MAX:
            return fields  # for the answer to refuse
        lengths = LENGTHS
        for field in fields:  # most answers have none: a comparison or two for each
            if len(field[0]) in lengths and acts_on_host(field):
                confined = (_confined(each, app, base, log) for each in fields)
                return [each for each in confined if each is not None]
        if type(fields) is RepeatedFields:
            fields.are_harmless = True
    except (AttributeError, LookupError, TypeError, ValueError):
        pass  # for the answer to refuse
    return fields


def _confined(field: list[str], app: App, base: str, log: Log) -> list[str] | None:
    if not acts_on_host(field):
        return field
    if sets_cookie(field):
        if _MARK in field[1] and _is_reserved(field, app, log):
            return None
        return _confined_cookie(field, app, base, log)
    if not base or app.name.startswith(PLUGIN_PREFIX):
        return field
    name, value = field
    lower = name.lower()
    if lower == SCOPE:
        return [name, scope_below(base)]
    if type(value) is not str:
        raise TypeError("a value that is not text")
    if _is_news(app, lower):
        log.warn(
            "header.for_host",
            "an app sends a header that acts on its whole host; it is left out",
            app=app.key,
            header=lower,
            value=value[:100],
            hint="an app with a host of its own may send it: `hosts` in buntime.yaml",
        )
    return None


def _confined_cookie(field: list[str], app: App, base: str, log: Log) -> list[str]:
    if app.manifest.cookie_path == "as-is" or not base:
        return field
    name, value = field
    if not is_for_host(value):
        return [name, below(value, base, (f"/{app.name}",))]
    if _is_news(app, "cookie.for_host"):
        cookie = value.partition("=")[0].strip()
        log.warn(
            "cookie.for_host",
            "an app sets a cookie for the whole host, as its name demands",
            app=app.key,
            cookie=cookie[:100],
        )
    return field


def _is_reserved(field: list[str], app: App, log: Log) -> bool:
    if not sessioncookie.is_set_by(field[1]) and not operatorscookie.is_set_by(field[1]):
        return False
    if _is_news(app, "cookie.reserved"):
        log.warn(
            "cookie.reserved",
            "an app sets a cookie whose name the runtime uses; it is dropped",
            app=app.key,
            cookie=field[1].partition(";")[0].lstrip("= \t").partition("=")[0].strip(),
        )
    return True


def _is_news(app: App, what: str) -> bool:
    told = _warned.setdefault(app, set())
    if what in told:
        return False
    told.add(what)
    return True
