"""A row of the table of values, and what a value may be, as a JSON schema.

    Row("service.port", 80, PORT, "port of the Service")

is `service: {port: 80}` in values.yaml with its meaning as a comment, a property in the schema, a
row of README.md and, where it has a question, one in questions.yaml.
"""

from typing import Any, NamedTuple

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"  # Helm 3 and 4 read it


class Question(NamedTuple):
    """What Rancher asks: a label, and when, `"ingress.enabled=true"`."""

    label: str
    show_if: str = ""


class Row(NamedTuple):
    """One value: its path with dots, its default, its schema, and what it means."""

    path: str
    default: object
    schema: Schema
    meaning: str
    question: Question | None = None


class Section(NamedTuple):
    """Rows that belong together, under a title."""

    title: str
    rows: tuple[Row, ...]


def text(pattern: str = "") -> Schema:
    return {"type": "string", "pattern": pattern} if pattern else {"type": "string"}


def words(*allowed: str) -> Schema:
    return {"type": "string", "enum": [*allowed]}


def whole(least: int, most: int | None = None) -> Schema:
    bounds = {"minimum": least} | ({} if most is None else {"maximum": most})
    return {"type": "integer", **bounds}


def or_empty(schema: Schema) -> Schema:
    """The same, or "" for a value that is not given."""
    return {"anyOf": [{"type": "string", "maxLength": 0}, schema]}


def fields(needed: str = "", /, **properties: Schema) -> Schema:
    """A mapping with only these keys; `needed` names the required ones."""
    made: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name.rstrip("_"): schema for name, schema in properties.items()},
    }
    return made | ({"required": needed.split()} if needed else {})


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def mapping(values: Schema | None = None) -> Schema:
    """A mapping with any keys."""
    return {"type": "object"} | ({} if values is None else {"additionalProperties": values})


TEXT = text()
FLAG: Schema = {"type": "boolean"}
PORT = whole(1, 65535)
# A name of an object: RFC 1123, a subdomain.
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME = text(rf"^({_LABEL}(\.{_LABEL})*)?$")
DNS_LABEL = text(f"^{_LABEL}$") | {"maxLength": 63}
QUANTITY = text(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
HOST = text(rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$")
PATH = text("^/[!-~]*$")
STRINGS = mapping(TEXT)
# Parts of objects that Kubernetes itself checks.
FREE = mapping()
FREE_LIST = many(mapping())
KEY_IN_SECRET = text(r"^[A-Za-z0-9._-]+$")
VARIABLE = text("^[A-Za-z_][A-Za-z0-9_]*$")
