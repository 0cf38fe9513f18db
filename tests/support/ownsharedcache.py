"""Imported by a forked runtime: what it takes for the cache that all runtimes of the host share is
a folder beside its own cache, so that it neither counts nor removes what the host has."""

import os

from buntime.server.pythons import environments

environments.SHARED = f"{os.environ['XDG_CACHE_HOME']}/shared"
