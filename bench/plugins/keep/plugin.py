"""Lets every request pass; each verdict counts for a minute."""

from buntime.plugin import Continue, HookRequest


def on_request(request: HookRequest) -> Continue:
    return Continue(cache_s=60, any_path=True)
