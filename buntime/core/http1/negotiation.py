"""What a client accepts (RFC 9110 12.5): content codings with their weights, and HTML."""

import re
from functools import lru_cache

from buntime.core.values.regex import regex

# Codings that may exist as a file beside another one, best first, with that file's suffix.
CODING_SUFFIXES = {"br": ".br", "gzip": ".gz"}

_WEIGHT = regex(r"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
# Browsers send about 30 characters of codings, and 140 of types. A much longer value is meant to
# slow us down: it is ignored.
_CODINGS_MAX_CHARS = 256
_TYPES_MAX_CHARS = 1024


def wanted_codings(accept_encoding: str) -> tuple[str, ...]:
    """The codings that the client prefers to none, or likes as much; best first.

    "gzip, deflate, br" -> ("br", "gzip"); "gzip;q=1, br;q=0.5" -> ("gzip", "br").
    """
    if len(accept_encoding) > _CODINGS_MAX_CHARS:
        return ()
    return _ranked(accept_encoding)


def accepts_html(accept: str) -> bool:
    """Does the list name text/html itself, as in a browser's navigation? "*/*" does not count."""
    return len(accept) <= _TYPES_MAX_CHARS and _weights(accept).get("text/html", 0.0) > 0


@lru_cache(maxsize=256)
def _ranked(accept_encoding: str) -> tuple[str, ...]:
    weights = _weights(accept_encoding)
    if "x-gzip" in weights:  # an alias, RFC 9110 8.4.1.3
        weights.setdefault("gzip", weights["x-gzip"])
    others = weights.get("*", 0.0)
    least = weights.get("identity", 0.0)
    ranked = sorted(
        ((weights.get(coding, others), coding) for coding in CODING_SUFFIXES),
        key=lambda pair: -pair[0],  # sorted is stable: equal weights keep our order
    )
    return tuple(coding for weight, coding in ranked if weight > 0 and weight >= least)


def _weights(value: str) -> dict[str, float]:
    """'gzip;q=0.5, BR' -> {"gzip": 0.5, "br": 1.0}. An unreadable weight counts as 0."""
    weights: dict[str, float] = {}
    for item in value.split(","):
        name, *parameters = item.split(";")
        weight = 1.0
        for parameter in parameters:
            if parameter.strip(" \t")[:2].lower() == "q=":
                match = _WEIGHT.fullmatch(parameter)
                weight = float(match[1]) if match is not None else 0.0
        weights[name.strip(" \t").lower()] = weight
    return weights
