"""What a hook is told about a request and its answer.

Only stage identity sees the cookies of other plugins; they are removed for all other stages. What
clients claim about their identity is removed for all; what a trusted proxy says reaches stage
identity.
"""

from collections.abc import Mapping

from buntime.core.plugins.hooktext import Facts, Seen, write_path, write_shared
from buntime.core.plugins.identity import identity_key
from buntime.core.plugins.plan import Hook
from buntime.core.plugins.verdictcache import Asked, Common
from buntime.server.http1.exchange import Exchange
from buntime.wire import quote, to_json

Cookies = Mapping[str, frozenset[str]]
"""The names of the cookies that are a plugin's own, by its name."""


def of_others(cookies: Cookies, name: str = "") -> frozenset[str]:
    """The cookies of all plugins but this one."""
    return frozenset().union(*(names for owner, names in cookies.items() if owner != name))


def question(
    name: str,
    exchange: Exchange,
    facts: Facts,
    fields: str,
    timeout_ms: int,
    response: str = "",
) -> str:
    """The line of a HOOK behind its id; `fields` is the JSON of the fields that it sees.

    Empty and false values are left out. Request ids are tokens, which need no escaping in JSON
    strings.
    """
    head, sender, identity = exchange.head, exchange.sender, exchange.identity
    target, client = head.target, sender.client
    extra = f'"query":{quote(target.partition("?")[2])},' if "?" in target else ""
    if client:
        extra += f'"client":[{quote(client[0])},{client[1]}],'
    if identity is not None:
        extra += f'"identity":{to_json(dict(identity)).decode("ascii")},'
    if head.upgrade:
        extra += '"isWebSocket":true,'
    host = sender.host or head.host
    shared = write_shared(fields, facts, head.method, sender.scheme, host, exchange.base)
    return (
        f'"hook":"{name}","timeout_ms":{timeout_ms},{response}"request":{{'
        f'"path":{write_path(facts.path)},{extra}"requestId":"{exchange.id}"}}}}{shared}'
    )


def describe(hook: Hook, exchange: Exchange, facts: Facts, generation: int, seen: Seen) -> Asked:
    """Everything the hook's verdict may depend on. The plugin's generation is the number of its
    worker."""
    head, sender = exchange.head, exchange.sender
    common = Common(
        plugin=hook.plugin,
        generation=generation,
        app=facts.app or "",
        version=facts.version or "",
        base=exchange.base,
        scheme=sender.scheme,
        host=sender.host or head.host,
        method=head.method,
        is_websocket=bool(head.upgrade),
        identity=identity_key(exchange.identity),
        proxy=seen.proxy,
    )
    _, mark, query = head.target.partition("?")
    client = sender.client[0] if sender.client else ""
    return Asked(common, facts.path + mark + query, seen.fields, client)
