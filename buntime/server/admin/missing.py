"""What a page answers where it was asked about a name that is unknown, and what was meant instead.

Only names that the caller may see are offered. What visitors ask for is another matter: to them a
404 tells nothing about the apps there are, see `entrance.app_not_found`.
"""

from collections.abc import Iterable
from itertools import islice

from buntime.core.access.keyring import KeyRecord, excess
from buntime.core.apps.app import App
from buntime.core.apps.versions import sort_key
from buntime.core.errors import ClientFault
from buntime.core.values.wording import suggestion
from buntime.server.admin.call import Call
from buntime.server.apps.catalog import Catalog

_COMPARED_MAX = 500  # names, which takes some milliseconds of the loop
_VERSIONS_MAX = 5
_LISTS = {"app": "buntime list", "key": "buntime keys list", "plugin": "buntime plugins list"}


def no_such(kind: str, name: str, known: Iterable[str]) -> str:
    """`"there is no app shpo; did you mean shop? (see buntime list)"`."""
    near = meant(name, known)
    see = f" (see {_LISTS[kind]})" if near else f"; see {_LISTS[kind]}"
    return f"there is no {kind} {name[:200]}{near}{see}"


def meant(name: str, known: Iterable[str]) -> str:
    """`"; did you mean shop?"`, or "" if nothing known is close."""
    return suggestion(name, islice(_likely(name, known), _COMPARED_MAX))


def _likely(name: str, known: Iterable[str]) -> Iterable[str]:
    """Those of about the same length, as `known` may have thousands."""
    return (each for each in known if 3 * abs(len(each) - len(name)) <= len(each) + len(name))


def missing_app(call: Call, catalog: Catalog, name: str) -> ClientFault:
    """For an app without a folder."""
    names = dict.fromkeys(each for each, _ in catalog.names(call.now))
    return ClientFault(404, "app_not_found", no_such("app", name, filter(call.sees, names)))


def missing_key(call: Call, records: Iterable[KeyRecord], name: str) -> ClientFault:
    """For a key; those that are stronger than the caller's are not offered."""
    known = (each.name for each in records if not excess(each, call.caller))
    return ClientFault(404, "key_not_found", no_such("key", name, known))


def check_exists(call: Call, catalog: Catalog) -> None:
    """Raises ClientFault (404) unless the app of the path has a folder."""
    app = call.values["app"]
    if not catalog.versions_of(app, call.now):
        raise missing_app(call, catalog, app)


def found_app(call: Call, catalog: Catalog, name: str, spec: str | None) -> App:
    """As `Catalog.find`, but the error says which versions there are."""
    try:
        return catalog.find(name, spec, call.now)
    except ClientFault:
        fault = f"{name} has no version {spec or ''}".rstrip()
        text = with_versions(call, catalog, name, fault)
        raise ClientFault(404, "app_not_found", text) from None


def with_versions(call: Call, catalog: Catalog, name: str, fault: str) -> str:
    """The fault, and which versions the app has.

    Raises ClientFault (404) if there is no such app at all.
    """
    versions = catalog.versions_of(name, call.now)
    if not versions:
        raise missing_app(call, catalog, name) from None
    named = sorted(filter(None, versions), key=sort_key, reverse=True)
    if not named:
        return f"{fault}; its folder has none in its name"
    rest = ", …" if len(named) > _VERSIONS_MAX else ""
    return f"{fault}; it has {', '.join(named[:_VERSIONS_MAX])}{rest}"
