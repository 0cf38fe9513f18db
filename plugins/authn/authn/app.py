"""What the pages, the hook and the operators' API share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from authn.database import Database
from authn.flows import Flows
from authn.oidc import Client
from authn.providers import providers_of
from authn.sessions import Sessions
from authn.throttle import Throttle
from authn.users import Users
from authn.where import Hosts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HOUR_S = 3600.0


class App(NamedTuple):
    """All parts."""

    database: Database
    users: Users
    sessions: Sessions
    flows: Flows
    throttle: Throttle
    hosts: Hosts
    clients: dict[str, Client]  # by the names of providers
    has_passwords: bool
    clock: Callable[[], float]  # seconds since 1970


def make_app(
    config: dict[str, Any],
    path: Path,
    *,
    clock: Callable[[], float],
    forget: Callable[[str], None],
) -> App:
    """Made from the options. Raises BadProvider, BadUrl, sqlite3.Error, NewerFile."""
    hosts = Hosts(config["publicUrl"] or "", config["hosts"])
    providers = providers_of(config["providers"], config["clientSecrets"])
    database = Database(path)
    return App(
        database,
        Users(database, clock),
        Sessions(
            database,
            clock,
            forget,
            idle_s=config["idleHours"] * _HOUR_S,
            max_s=config["maxHours"] * _HOUR_S,
        ),
        Flows(database, clock),
        Throttle(),
        hosts,
        {name: Client(each) for name, each in providers.items()},
        config["passwords"],
        clock,
    )
