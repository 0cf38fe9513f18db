"""Sends notices to one plugin as it reads: no more of them wait in its channel than one batch."""

from buntime.core.plugins.outbox import Outbox
from buntime.core.telemetry.pluginmeters import PluginMeter
from buntime.server.loop.loop import Loop
from buntime.server.pool.worker import Worker


class Mailbox:
    """Of one generation of a plugin, for the hooks that it has."""

    def __init__(
        self,
        loop: Loop,
        worker: Worker,
        meter: PluginMeter,
        hooks: frozenset[str],
        *,
        has_ephemeral: bool,
    ) -> None:
        """`has_ephemeral`: it also gets notices about workers of `ttl: 0`."""
        self.worker = worker
        self.hooks = hooks
        self.has_ephemeral = has_ephemeral
        self._loop = loop
        self._meter = meter
        self._channel = worker.calling.channel
        self._outbox = Outbox()
        self._last: dict[str, bytes] = {}  # the last one of each kind with the whole state
        self._is_waiting = False  # `_go_on` will be called

    def __repr__(self) -> str:
        return f"Mailbox({self.worker.name}, {self._outbox!r})"

    def put(self, notice: str, data: bytes) -> None:
        """Send it, now or when the plugin has read what was sent before."""
        self._meter.notices_dropped += self._outbox.put(notice, data)
        if not self._is_waiting:
            self._go_on()

    def put_if_news(self, notice: str, data: bytes) -> None:
        """The same, unless it equals the last one."""
        if self._last.get(notice) != data:
            self._last[notice] = data
            self.put(notice, data)

    def _go_on(self) -> None:
        self._is_waiting = False
        channel = self._channel
        if not channel.is_open or not len(self._outbox):
            return
        if not channel.is_backed_up:
            for line in self._outbox.take():
                channel.post_line(line)
                self._meter.notices_sent += 1
                self.worker.calling.noticed += 1
            if not len(self._outbox):
                return
            self._is_waiting = True
            self._loop.call_soon(self._go_on)  # by then it is known what the kernel has taken
            return
        self._is_waiting = True
        channel.call_when_sent(self._go_on)
