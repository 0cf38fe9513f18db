"""Signing in at a provider, which sends the browser back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authn.remote import ProviderFault
from authn.where import FLOW, cookie
from buntime.plugin import Response

if TYPE_CHECKING:
    from authn.ways import Pages, Ways
    from buntime import Request

_WITH = "/with/"


class ByProvider:
    """Answers these pages."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
        self._app = ways.app

    def pages(self) -> Pages:
        """By method and path."""
        begin = {("GET", _WITH + name): self._go_to_provider for name in self._app.clients}
        return {**begin, ("GET", "/callback"): self._callback}

    def _go_to_provider(self, request: Request) -> Response:
        name, flow = request.path[len(_WITH) :], cookie(request, FLOW)
        client, data = self._app.clients[name], self._app.flows.find(flow)
        if data is None or flow is None:
            return self._ways.too_old(request)
        try:
            url, kept = client.begin(self._ways.redirect_uri(request))
        except ProviderFault as exc:
            return self._provider_failed(request, name, exc)
        self._app.flows.say(flow, {**data, "with": name, "kept": kept})
        return Response.redirect(url, 303, [("cache-control", "no-store")])

    def _callback(self, request: Request) -> Response:
        query, flow = request.query, cookie(request, FLOW)
        data = self._app.flows.find(flow)
        if data is None or flow is None or "kept" not in data:
            return self._ways.too_old(request)
        client, kept = self._app.clients.get(data["with"]), data["kept"]
        if client is None or query.get("state") != kept["state"]:
            return self._ways.too_old(request)
        # For one answer, once.
        self._app.flows.say(flow, {key: data[key] for key in ("to", "for") if key in data})
        if "code" not in query:
            why = f"{query.get('error')}: {query.get('error_description') or ''}"[:300]
            return self._ways.choose(request, problem=f"The provider refused: {why}", status=403)
        try:
            person = client.finish(
                query["code"], kept, self._ways.redirect_uri(request), query.get("iss") or ""
            )
        except ProviderFault as exc:
            return self._provider_failed(request, data["with"], exc)
        user = self._app.users.find(person.identity["user"])
        if user is not None and user.is_disabled:
            return self._ways.choose(request, problem="This user was disabled.", status=403)
        return self._ways.finish(request, flow, data, person.identity, data["with"], person.hint)

    def _provider_failed(self, request: Request, name: str, fault: ProviderFault) -> Response:
        self._ways.warn("provider %s: %s", name, fault)
        words = f"{name} did not answer as expected; the log says more."
        return self._ways.choose(request, problem=words, status=502)
