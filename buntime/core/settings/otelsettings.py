"""The settings of tracing: variables whose names OpenTelemetry defines."""

import re
from urllib.parse import unquote, urlsplit

from buntime.core.settings.setting import (
    Kind,
    Setting,
    Situation,
    choice,
    number,
    plain,
    unset,
)
from buntime.core.values.kinds import one_of
from buntime.core.values.regex import regex
from buntime.core.values.units import BadValue
from buntime.core.values.wording import shown

Pairs = tuple[tuple[str, str], ...]

_FIELD_NAME = regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
SAMPLERS = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)


def _parse_endpoint(text: str, _: Situation) -> str | None:
    if not text:
        return None
    try:
        url = urlsplit(text)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_url = False
    if not is_url or "@" in url.netloc or url.query or url.fragment or not text.isprintable():
        raise BadValue(
            f"{shown(text)} is not a collector's address; write one like http://localhost:4318, "
            "and keys that it asks for in OTEL_EXPORTER_OTLP_HEADERS"
        )
    return text.rstrip("/")


def parse_pairs(text: str) -> Pairs:
    """`"a=b, c=d%20e"` -> (("a", "b"), ("c", "d e")); errors do not show the values."""
    pairs = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = item.partition("=")
        name, value = name.strip(), unquote(value.strip())
        if not name or not equals or not value.isprintable() or not name.isprintable():
            raise BadValue("one part is not NAME=VALUE; write them like a=b,c=d")
        pairs.append((name, value))
    return tuple(pairs)


def _parse_headers(text: str, _: Situation) -> Pairs:
    pairs = parse_pairs(text)
    if not all(_FIELD_NAME.fullmatch(name) and value.isascii() for name, value in pairs):
        raise BadValue("one part is not a header field; write them like api-key=secret,x-org=me")
    return pairs


def _parse_ratio(text: str, _: Situation) -> float:
    if not re.fullmatch(r"[0-9]{0,3}(?:\.[0-9]{1,12})?", text) or not text or float(text) > 1:
        raise BadValue(f"{shown(text)} is not a share; write a number from 0 to 1, like 0.1")
    return float(text)


TRACING = (
    Setting(
        "otlp_endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "--otel-exporter-otlp-endpoint",
        Kind("URL", _parse_endpoint),
        "none",
        "collector that gets traces and logs by OTLP over HTTP, `http://localhost:4318`",
        derive=unset,
    ),
    Setting(
        "otlp_headers",
        "OTEL_EXPORTER_OTLP_HEADERS",
        None,
        Kind("NAME=VALUE", _parse_headers),
        "none",
        "header fields that it requires, `api-key=secret`, separated by commas",
        derive=lambda _: "",
        secret=True,
    ),
    Setting(
        "otlp_protocol",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "--otel-exporter-otlp-protocol",
        choice("http/json", "http/protobuf", "grpc"),
        "http/json",
        "always `http/json`; the log warns if this names another one",
    ),
    Setting(
        "otlp_timeout_ms",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "--otel-exporter-otlp-timeout",
        number(1, 600_000),
        "10000",
        "milliseconds that the collector may take to answer",
    ),
    Setting(
        "otel_service_name",
        "OTEL_SERVICE_NAME",
        "--otel-service-name",
        Kind("NAME", lambda text, _: text or None),
        "buntime",
        "name of this runtime in traces",
        derive=unset,
    ),
    Setting(
        "otel_resource",
        "OTEL_RESOURCE_ATTRIBUTES",
        "--otel-resource-attributes",
        Kind("NAME=VALUE", lambda text, _: parse_pairs(text)),
        "none",
        "more about it, `deployment.environment.name=staging`, separated by commas",
        derive=lambda _: "",
    ),
    Setting(
        "otel_traces",
        "OTEL_TRACES_EXPORTER",
        "--otel-traces-exporter",
        choice("otlp", "none"),
        "otlp",
        "whether traces are sent, if there is a collector",
    ),
    Setting(
        "otel_logs",
        "OTEL_LOGS_EXPORTER",
        "--otel-logs-exporter",
        choice("otlp", "none"),
        "otlp",
        "whether the log is sent, if there is a collector",
    ),
    Setting(
        "otel_sampler",
        "OTEL_TRACES_SAMPLER",
        "--otel-traces-sampler",
        plain("SAMPLER", one_of(*SAMPLERS)),
        "parentbased_always_on",
        "which requests are traced; `parentbased` ones follow a trusted proxy's decision",
    ),
    Setting(
        "otel_sampler_share",
        "OTEL_TRACES_SAMPLER_ARG",
        "--otel-traces-sampler-arg",
        Kind("SHARE", _parse_ratio),
        "1",
        "share of them, from 0 to 1, for the samplers with `traceidratio`",
    ),
)
