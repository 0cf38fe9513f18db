"""The operators' address: where their sessions are valid, and no app answers.

    RUNTIME_ADMIN_LISTEN   a separate address, 127.0.0.1:8001: every request that arrives there
    RUNTIME_ADMIN_HOST     every request for this host, wherever it arrives

Apps served under a path share one origin, so an operator's session must not be valid there: a
script smuggled into one of them could act as the operator. The operators' address serves only the
runtime's own paths and the pages of plugins.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from buntime.core.access.operators import LINK_PATH, PANEL, names_this_machine
from buntime.core.apps.hosts import plain_host
from buntime.core.apps.router import reserved_path
from buntime.core.errors import ClientFault, HttpError, UsageError
from buntime.core.http1.forwarded import Address
from buntime.core.http1.limits import HeadTooLarge
from buntime.core.settings.endpoint import Endpoint, TcpEndpoint
from buntime.core.settings.live import LiveSettings
from buntime.core.sites.shellrules import framed_target
from buntime.core.values.regex import regex
from buntime.server.admin.gate import Gate
from buntime.server.admin.latepages import LatePages
from buntime.server.http1.binding import open_bindings
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.listener import Handle, Listener
from buntime.server.http1.operatorsexchange import mark
from buntime.server.http1.service import Service
from buntime.server.pipeline.pipeline import Pipeline

_ANYWHERE = ("0.0.0.0", "::")
_COOKIES = regex(rb"(?i)\r\ncookie:")
_HOST = regex(rb"(?i)\r\nhost:[ \t]*([^\r\n \t]*)")
_WITHOUT_COOKIES = (("Clear-Site-Data", '"cookies"'),)  # heeded over TLS, and on this machine


class Operators:
    """Answers requests at the operators' address."""

    def __init__(
        self,
        service: Service,
        live: LiveSettings,
        pages: LatePages,
        gate: Gate,
        pipeline: Pipeline,
        *,
        urls: list[str],
    ) -> None:
        """Once open, adds to `urls` the URLs where sessions are valid; links use the first one."""
        self.urls = urls
        self._service = service
        self._live = live
        self._pages = pages
        self._gate = gate
        self._pipeline = pipeline
        self._own: set[Address] = set()  # where nobody but operators comes
        service.relieve = self._relieve
        settings = live.now
        endpoint, host = settings.admin_listen, settings.admin_host
        own = [endpoint.host] if isinstance(endpoint, TcpEndpoint) else []
        self._hosts = [*own, *([host] if host else [])]

    def __repr__(self) -> str:
        return f"Operators({', '.join(self._hosts)})"

    def open(self, listeners: list[Listener], urls: Sequence[str]) -> None:
        """Listen for operators; if that fails, everything else still runs.

        `listeners` are all listeners of the runtime, which closes them; `urls` are those that it
        listens at for everybody.
        """
        own = self._listen(self._live.now.admin_listen, listeners)
        self.urls += [*self._by_host(urls), *own, *self._near(urls)]

    def _listen(self, endpoint: Endpoint | None, listeners: list[Listener]) -> Iterator[str]:
        log = self._service.log
        if endpoint is None:
            return
        try:
            [binding] = open_bindings([endpoint], setting="RUNTIME_ADMIN_LISTEN")
        except UsageError as exc:
            log.warn(
                "operators.unavailable",
                "cannot listen on the operators' address: set RUNTIME_ADMIN_LISTEN to another "
                "one, or to none",
                error=str(exc),
            )
            return
        listeners.append(Listener(self._service, self.handle, binding))
        if binding.address is not None:
            self._own.add(binding.address)
            yield _reachable(binding.url)
        # After the line that says the runtime listens, which comes first in the log.
        self._service.loop.call_soon(
            lambda: log.info("operators.listening", "operators come here", url=binding.url)
        )

    def _by_host(self, urls: Sequence[str]) -> Iterator[str]:
        """URLs by RUNTIME_ADMIN_HOST: behind a trusted proxy that ends TLS, or at our own ports."""
        settings = self._live.now
        if settings.admin_host and settings.trusted_proxies:
            yield f"https://{settings.admin_host}"
        elif settings.admin_host:
            places = [urlsplit(url) for url in urls if url.startswith("http:")]
            yield from (f"http://{settings.admin_host}:{place.port}" for place in places)

    def _near(self, urls: Sequence[str]) -> Iterator[str]:
        """The URLs on this machine, in development."""
        if self._live.now.is_development:
            yield from (_reachable(url) for url in urls if _is_near(urlsplit(url).hostname))

    def beside(self, others: Handle) -> Handle:
        """The handler for other addresses: `others`, except for requests to RUNTIME_ADMIN_HOST."""
        host = self._live.now.admin_host
        if host is None:
            return others

        def handle(exchange: Exchange) -> None:
            requested = plain_host(exchange.sender.host or exchange.head.host)
            (self.handle if requested == host else others)(exchange)

        return handle

    def handle(self, exchange: Exchange) -> None:
        """Answer a request that arrived at the operators' address, now or later."""
        mark(exchange)
        head = exchange.head
        if head.path.rstrip("/") == LINK_PATH:
            exchange.take_token()
        try:
            self._check_host(exchange)
            path = reserved_path(head.target, self._live.now.api_prefix)
            framed = framed_target(head.target)
            if framed is not None and reserved_path(framed, self._live.now.api_prefix) is None:
                self._pipeline.frame(exchange, framed)
            elif path is not None:
                self._pages.answer(exchange, path)
            elif head.path == "/":
                exchange.respond(302, [("location", f"{exchange.sender.prefix}/{PANEL}/")])
            elif not self._gate.waits(exchange, lambda: self._show(exchange)):
                self._show(exchange)
        except HttpError as error:
            exchange.fail(error)

    def _show(self, exchange: Exchange) -> None:
        if not exchange.is_ended and not self._pipeline.show_plugin(exchange):
            exchange.fail(
                ClientFault(404, "not_found", "apps do not answer at the operators' address")
            )

    def _relieve(self, fault: HeadTooLarge, address: Address | None) -> HttpError:
        """Have a browser delete the cookies that keep operators out.

        An app at another port, or a script of it, can set as many of them for the host as a browser
        keeps, far more than a head may have. A browser sends so much of nothing else.
        """
        if _COOKIES.search(fault.head) is None:
            return fault
        if address not in self._own:
            host = _HOST.search(fault.head)
            own = self._live.now.admin_host
            if own is None or host is None or plain_host(host[1].decode("latin-1")) != own:
                return fault
        return ClientFault(
            fault.status,
            fault.code,
            f"{fault.message}: your browser has too many cookies for this host, and is told to "
            "delete them; load the page again, and sign in. If that does not help, delete them "
            "in the browser's settings",
            closes=True,
            headers=_WITHOUT_COOKIES,
        )

    def _check_host(self, exchange: Exchange) -> None:
        """A page of another host could point its own name at this address (DNS rebinding)."""
        host = exchange.sender.host or exchange.head.host
        if exchange.head.is_secure and exchange.sender.scheme != "https":
            raise ClientFault(421, "misdirected_request", "the target is an https URL")
        if not names_this_machine(host, self._hosts) and not _is_address(plain_host(host)):
            raise ClientFault(
                421,
                "misdirected_request",
                f"the host {host[:200]} is not the operators': name it in RUNTIME_ADMIN_HOST",
            )


def _is_near(host: str | None) -> bool:
    return host in _ANYWHERE or names_this_machine(host or "")


def _is_address(host: str) -> bool:
    """An IP address is safe: it is no name that somebody could point elsewhere."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _reachable(url: str) -> str:
    """The URL for a browser on this machine."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
