"""Keeps what hooks answer out of the origin that operators sign in at.

At the operators' address the pages of plugins are sandboxed unless an operator trusts the plugin,
see `Shell.sandbox_step`. Hooks of other plugins are also asked about requests for a trusted one, or
for the shell. What these answer there has a sandbox of its own: its scripts would otherwise be in
the origin of the page that they answer for.
"""

from collections.abc import Iterable

from buntime.core.http1.section import Fields
from buntime.core.plugins.plan import Hook
from buntime.core.sites.shellrules import IN_A_SANDBOX
from buntime.server.http1.exchange import Exchange
from buntime.server.http1.morefields import add_fields

_CONTENT = "content-"  # fields that say what a body is, and what it may do


def keep_out(exchange: Exchange, hook: Hook) -> None:
    """The hook answers this request."""
    if exchange.is_operators and not hook.is_trusted:
        add_fields(exchange, IN_A_SANDBOX)


def keep_out_change(exchange: Exchange, hook: Hook, before: Fields, after: Fields) -> None:
    """The hook changes the fields of another's answer. Data could become a page by that."""
    if exchange.is_operators and _of_content(before) != _of_content(after):
        keep_out(exchange, hook)


def _of_content(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    pairs = ((name.lower(), value.strip()) for name, value in fields)
    return sorted(pair for pair in pairs if pair[0].startswith(_CONTENT))
