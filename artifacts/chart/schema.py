"""Rows to values.schema.json: no unknown values, and each of its kind."""

import json
from collections.abc import Iterable
from typing import Any

from artifacts.chart.rows import DRAFT, Schema, Section


def schema_of(sections: Iterable[Section]) -> Schema:
    """The schema as a mapping."""
    root: Schema = {
        "$schema": DRAFT,
        "title": "Values of the chart buntime",
        **_mapping(),
    }
    # Helm gives these to a chart that is a part of another one.
    root["properties"]["global"] = {"type": "object"}
    for section in sections:
        for row in section.rows:
            *parents, name = row.path.split(".")
            here = root
            for parent in parents:
                here = here["properties"].setdefault(parent, _mapping())
            if name in here["properties"]:
                raise ValueError(f"{row.path} stands in the table twice")
            here["properties"][name] = row.schema | {"description": row.meaning}
    return root


def schema_text(sections: Iterable[Section]) -> str:
    return json.dumps(schema_of(sections), indent=2, ensure_ascii=False) + "\n"


def _mapping() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}
