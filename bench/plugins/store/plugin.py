"""A service that has the value at hand."""

from buntime.plugin import exposed


class Store:
    @exposed
    def get(self, key: str) -> str:
        return "ok"


services = {"kv": Store()}
