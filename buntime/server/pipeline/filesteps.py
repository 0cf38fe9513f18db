"""The step that answers a request from files; imported with the first app that has files."""

from collections.abc import Callable

from buntime.core.apps.app import App
from buntime.core.apps.mounts import mounted_at
from buntime.core.apps.router import Target
from buntime.core.http1.hostfields import acts_on_host
from buntime.server.http1.appfields import confine
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import add_fields
from buntime.server.pipeline.steps import AppStep
from buntime.server.plugins.sites import PluginSite
from buntime.server.sites.ofapp import mounts_of, site_of
from buntime.server.sites.site import FilePart, StaticAnswer, StaticSite
from buntime.server.telemetry.logs import Log

_Bound = Callable[[list[tuple[str, str]], str], list[tuple[str, str]]]

# A page in the shell's frame has no origin, so its modules and fonts are cross-origin requests.
_FOR_FRAMES = (("access-control-allow-origin", "*"),)


def make_file_step(
    app: App, site: PluginSite | None, *, recheck_s: float, log: Log
) -> AppStep | None:
    """Answer from files: a plugin's page, a static site, or folders named in a manifest.

    `recheck_s` is how long an answer may be out of date.
    """
    made = (
        _page_step(site, recheck_s=recheck_s, log=log),
        _static_step(app, recheck_s=recheck_s, log=log),
        _mounts_step(app, recheck_s=recheck_s, log=log),
    )
    steps = [step for step in made if step is not None]
    if len(steps) <= 1:
        return steps[0] if steps else None

    def answer_by_one(exchange: Exchange, app: App, target: Target) -> bool:
        return any(step(exchange, app, target) for step in steps)

    return answer_by_one


def _page_step(site: PluginSite | None, *, recheck_s: float, log: Log) -> AppStep | None:
    """Answers from a plugin's page, except where the manifest routes requests to code."""
    page = site.page if site is not None else None
    answer = _static_step(page, recheck_s=recheck_s, log=log) if page is not None else None
    if site is None or page is None or answer is None:
        return None

    def answer_page(exchange: Exchange, _: App, target: Target) -> bool:
        if not site.is_page(target.rest):
            return False
        add_fields(exchange, _FOR_FRAMES)
        return answer(exchange, page, target)

    return answer_page


def _static_step(app: App, *, recheck_s: float, log: Log) -> AppStep | None:
    """Answers from the files of a static site. `recheck_s` is how stale an answer may be."""
    site = site_of(app, recheck_s=recheck_s)
    if site is None:
        return None
    in_shell, bound = app.manifest.in_shell, _bound_of(app, log)

    def answer_static(exchange: Exchange, _: App, target: Target) -> bool:
        if in_shell:
            add_fields(exchange, _FOR_FRAMES)
        _answer_by(site, exchange, target.rest, "", bound)
        return True

    return answer_static


def _mounts_step(app: App, *, recheck_s: float, log: Log) -> AppStep | None:
    """Answers from the folders that a Python app's manifest names (`static`)."""
    sites = mounts_of(app, recheck_s=recheck_s)
    if not sites:
        return None
    in_shell, bound = app.manifest.in_shell, _bound_of(app, log)

    def answer_file(exchange: Exchange, _: App, target: Target) -> bool:
        found = mounted_at(target.rest, sites)
        if found is None:
            return False
        if in_shell:
            add_fields(exchange, _FOR_FRAMES)
        _answer_by(sites[found.prefix], exchange, found.rest, found.prefix, bound)
        return True

    return answer_file


def _bound_of(app: App, log: Log) -> _Bound | None:
    """What keeps the fields of its manifest to the app; None if they say nothing of the host."""
    fields = (field for _, fields in app.manifest.file_headers for field in fields)
    if not any(map(acts_on_host, fields)):
        return None

    def bound(fields: list[tuple[str, str]], base: str) -> list[tuple[str, str]]:
        kept = confine([[name, value] for name, value in fields], app, base, log)
        return [(name, value) for name, value in kept]

    return bound


def _answer_by(
    site: StaticSite, exchange: Exchange, rest: str, prefix: str, bound: _Bound | None
) -> None:
    head, headers, base = exchange.head, exchange.headers, exchange.base
    answer = site.answer(head.method, rest, headers, base + prefix, exchange.now, query=head.query)
    if bound is not None:
        answer.headers = bound(answer.headers, base)
    body = answer.body
    if isinstance(body, bytes):
        exchange.respond(answer.status, answer.headers, body)
    else:
        _send_parts(exchange, answer, body if isinstance(body, list) else [body])


def _send_parts(exchange: Exchange, answer: StaticAnswer, parts: list[bytes | FilePart]) -> None:
    """A body made from open files, which are closed once it is sent or no longer wanted."""
    try:
        exchange.start(answer.status, answer.headers, None)
        for part in parts:
            if isinstance(part, bytes):
                exchange.send(part)
            else:
                exchange.send_file(part.fd, part.offset, part.length)
    finally:
        exchange.release_later(answer)
    exchange.finish()
