"""What jobs and processes of apps are built on."""

from buntime.core.values.tuples import NamedTuple
from buntime.server.apps.catalog import Catalog
from buntime.server.http1.service import Service
from buntime.server.pool.pool import Pool
from buntime.server.pythons.interpreter import Interpreters
from buntime.server.state.statefolder import StateFolder


class Ground(NamedTuple):
    """The parts of the runtime that they need."""

    service: Service
    pool: Pool
    interpreters: Interpreters
    catalog: Catalog
    state: StateFolder
