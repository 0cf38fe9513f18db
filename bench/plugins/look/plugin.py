"""Lets every request pass."""

from buntime.plugin import HookRequest


def on_request(request: HookRequest) -> None:
    return None
