"""Imported by a forked runtime: clients are found to be too slow in a second, not in five."""

from buntime.core.http1 import leastrate
from buntime.server.http1 import slowclients

leastrate.PERIOD_S = 1.0
slowclients._LOOK_S = 0.2
