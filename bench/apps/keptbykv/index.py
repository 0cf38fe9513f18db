"""Sets and gets a value of 100 bytes, with the service `kv` of the plugin keyval."""

from itertools import count

from buntime import Request, Response
from buntime.keyval import keyval

VALUE = b"x" * 100
kv = keyval()
numbers = count()


def fetch(_: Request) -> Response:
    key = ("bench", next(numbers) % 1000)
    kv.set(key, VALUE)
    return Response(b"ok" if kv.get(key) == VALUE else b"lost")
