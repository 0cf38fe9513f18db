"""The observer of workers that start and end: the plugins."""

from buntime.core.values.protocols import Protocol
from buntime.server.pool.deployment import Deployment
from buntime.server.pool.worker import Worker
from buntime.wire import Message


class Onlooker(Protocol):
    """Is told about the workers of apps and plugins, on the loop's thread."""

    def on_adopted(self, deployment: Deployment) -> None:
        """A worker is about to load an app that uses services."""

    def on_loaded(self, deployment: Deployment, worker: Worker, message: Message) -> None:
        """A worker has loaded its app; `message` is its READY."""

    def on_not_loaded(self, deployment: Deployment, why: str) -> None:
        """A worker could not load its app."""

    def on_gone(
        self, deployment: Deployment, worker: Worker, how: str, *, was_ordered: bool
    ) -> None:
        """The process of a worker that had loaded its app has ended: as it was told to, or by
        itself."""
