"""A service that answers with a constant."""

from buntime.plugin import exposed


class Store:
    @exposed
    def get(self, key: str) -> str:
        return "ok"


services = {"kv": Store()}
