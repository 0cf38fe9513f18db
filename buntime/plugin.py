"""What a plugin imports: `from buntime.plugin import plugin, exposed, Continue, Response`."""

from buntime.sdk.hookrequest import AsyncHookRequest, HookRequest, ResponseHead
from buntime.sdk.plugin import Plugin, Runtime, exposed, plugin
from buntime.sdk.request import BadBody, Response
from buntime.sdk.services import AsyncService, Service, ServiceError
from buntime.sdk.verdict import Continue

__all__ = [
    "AsyncHookRequest",
    "AsyncService",
    "BadBody",
    "Continue",
    "HookRequest",
    "Plugin",
    "Response",
    "ResponseHead",
    "Runtime",
    "Service",
    "ServiceError",
    "exposed",
    "plugin",
]
