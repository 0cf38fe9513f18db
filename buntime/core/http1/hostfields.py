"""Fields of an answer that act on its whole host, in the browser that gets it.

All apps below paths of a host are one origin to a browser, often with the operators' panel on
another port. So what one app says of the host, it says of all. A field

    is left out                      because with it one app could
    -------------------------------  ----------------------------------------------------------
    Alt-Svc                          lead browsers to another server for the host
    Clear-Site-Data                  sign people out of all apps and the panel; delete their data
    NEL, Report-To                   have the addresses that people visit in other apps reported
    Public-Key-Pins(-Report-Only)    make the host unreachable
    Secure-Session-Registration,     have requests for other apps wait for its own answers
    Sec-Session-Registration
    Set-Login                        say that people have signed in to, or out of, the host
    Strict-Transport-Security        forbid plain HTTP at all ports and, if it likes, subdomains
    is changed
    -------------------------------  ----------------------------------------------------------
    Service-Worker-Allowed           answer for other apps, by a script that outlives the app
    Set-Cookie                       log people out of other apps: see setcookie.py

Others that are kept for a host do no harm to other apps: Accept-CH (more fields in requests to the
host), Origin-Agent-Cluster. All the rest, such as Refresh, Content-Security-Policy and
Reporting-Endpoints, are about one page.
"""

from collections.abc import Iterable, Sequence

from buntime.core.http1.answer import Pair

LEFT_OUT = frozenset(
    """
    alt-svc clear-site-data nel public-key-pins public-key-pins-report-only report-to
    sec-session-registration secure-session-registration set-login strict-transport-security
    """.split()
)
SCOPE = "service-worker-allowed"
_NAMES = LEFT_OUT | {SCOPE, "set-cookie"}
# Compared first, as each field of each answer pays for it: few have a name of such a length.
LENGTHS = frozenset(map(len, _NAMES))


def acts_on_host(field: Sequence[str]) -> bool:
    """Whether a field from an app, which may be malformed, acts on its host, or may."""
    return field[0].lower() in _NAMES


def scope_below(base: str) -> str:
    """The value of Service-Worker-Allowed for an app at `base`: `"/shop"` -> `"/shop/"`.

    Whatever the app says: browsers compare a scope with the beginning of this, so with "/shop" it
    could be "/shopper", and with "/" anything. Without the field, the scope of a script at
    /shop/static/sw.js is below /shop/static/, and that of one at /shop is the whole host: so
    answers for the base itself always get it.
    """
    return f"{base}/"


def without_host_fields(fields: Iterable[Pair]) -> list[Pair]:
    """The fields that are left where none may act on the host. They may be malformed."""
    return [pair for pair in fields if not _is_for_host(pair)]


def _is_for_host(pair: object) -> bool:
    if not isinstance(pair, list | tuple) or not pair or not isinstance(pair[0], str):
        return False  # for the answer to refuse
    name = pair[0].lower()
    return name in LEFT_OUT or name == SCOPE
