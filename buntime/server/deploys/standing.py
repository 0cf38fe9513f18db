"""What exists of deploys while none is under way: where they go, what is removed, their history."""

from buntime.core.values.tuples import NamedTuple
from buntime.server.deploys.course import Turns
from buntime.server.deploys.history import History
from buntime.server.deploys.housekeeping import Housekeeping
from buntime.server.deploys.opening import DeployPlace


class Standing(NamedTuple):
    """These parts; `carrier`, which carries deploys out, is made when an operator asks for one."""

    place: DeployPlace
    housekeeping: Housekeeping
    history: History
    turns: Turns  # for each app
