"""What a plugin imports: `from buntime.plugin import plugin, exposed, Continue, Response`."""

from buntime.sdk.hookrequest import AsyncHookRequest, HookRequest, ResponseHead
from buntime.sdk.plugin import exposed, plugin
from buntime.sdk.request import Response
from buntime.sdk.services import ServiceError
from buntime.sdk.verdict import Continue

__all__ = [
    "AsyncHookRequest",
    "Continue",
    "HookRequest",
    "Response",
    "ResponseHead",
    "ServiceError",
    "exposed",
    "plugin",
]
