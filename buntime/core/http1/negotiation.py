"""What a client accepts (RFC 9110 12.5): content codings with their weights, and HTML."""

import re
from functools import lru_cache

from buntime.core.values.regex import regex

# Codings that may lie ready beside a file, best first, with the suffix of that file's name.
CODING_SUFFIXES = {"br": ".br", "gzip": ".gz"}

_WEIGHT = regex(r"[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*", re.IGNORECASE)
# Browsers send some 30 characters of codings, and 140 of types. What is much longer is made to be
# slow: it is not read, and asks for nothing.
_CODINGS_MAX_CHARS = 256
_TYPES_MAX_CHARS = 1024


def wanted_codings(accept_encoding: str) -> tuple[str, ...]:
    """The codings that the client likes at least as much as none, best first.

    "gzip, deflate, br" -> ("br", "gzip"); "gzip;q=1, br;q=0.5" -> ("gzip", "br").
    """
    if len(accept_encoding) > _CODINGS_MAX_CHARS:
        return ()
    return _ranked(accept_encoding)


def accepts_html(accept: str) -> bool:
    """Is text/html itself on the list, as in a browser's navigation? "*/*" alone is not that."""
    return len(accept) <= _TYPES_MAX_CHARS and _weights(accept).get("text/html", 0.0) > 0


@lru_cache(maxsize=256)
def _ranked(accept_encoding: str) -> tuple[str, ...]:
    weights = _weights(accept_encoding)
    if "x-gzip" in weights:  # RFC 9110 8.4.1.3: an alias
        weights.setdefault("gzip", weights["x-gzip"])
    others = weights.get("*", 0.0)
    least = weights.get("identity", 0.0)
    ranked = sorted(
        ((weights.get(coding, others), coding) for coding in CODING_SUFFIXES),
        key=lambda pair: -pair[0],  # sorted is stable: where weights are equal, ours decide
    )
    return tuple(coding for weight, coding in ranked if weight > 0 and weight >= least)


def _weights(value: str) -> dict[str, float]:
    """'gzip;q=0.5, BR' -> {"gzip": 0.5, "br": 1.0}. A weight that cannot be read counts as 0."""
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
