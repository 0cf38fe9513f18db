"""One start of a plugin."""

from buntime.core.plugins.code import NO_CODE
from buntime.server.plugins.found import Found
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.worker import Worker
from buntime.server.pythons.probe import Interpreter


class Generation:
    """One start of a plugin, and its state."""

    def __init__(self, number: int, found: Found) -> None:
        self.number = number
        self.found = found
        self.code = NO_CODE  # once it has loaded
        self.has_loaded = False
        self.interpreter: Interpreter | None = None  # once it is known, and with it
        self.deployment: Deployment | None = None
        self.worker: Worker | None = None  # that has loaded it, while it is there
        self.since_s = 0.0  # of the worker
        self.is_lazy = found.app is not None and not found.app.manifest.prewarm

    def __repr__(self) -> str:
        return f"Generation({self.found.name}, {self.number}, {self.worker})"

    @property
    def overlaps(self) -> bool:
        """May it serve while another one starts, or be started while another one serves?"""
        manifest = self.found.manifest
        return manifest is not None and manifest.overlap
