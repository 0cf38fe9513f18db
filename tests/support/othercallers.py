"""Hooks of schemathesis: what it has invented is asked once more, by other callers.

The tool itself asks as one caller. It loads this module if SCHEMATHESIS_HOOKS names it. ASKED_AGAIN
is JSON: `{"callers": [{"url": ..., "key": ...}], "checks": [...], "operator": {...}}`.

If ASKED_ONCE is set, the phase `coverage` asks each route once for each fault of each parameter: in
one of the undeclared methods, with one value of a wrong type. The tool has several of most. No
request is sent twice, though the tool has several names for it: with a name that exists in the path
most values for it are the same. Fields that nothing reads are sent once by each method.

A key is what the API is asked to make, with the operator's header fields; null is no key. It is
made once the tool has ended, as the tool may remove any key.
"""

from __future__ import annotations

import json
import os
from typing import Any

import requests
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.generation.meta import TestPhase

ASKED = json.loads(os.environ["ASKED_AGAIN"])

UNREAD = "x-schemathesis-"  # begins the names of fields that nothing reads


if "ASKED_ONCE" in os.environ:
    seen: set[tuple[object, ...]] = set()

    @schemathesis.hook
    def filter_case(context: Any, case: Any) -> bool:
        if case.meta.phase.name is not TestPhase.COVERAGE:
            return True
        of = case.meta.phase.data
        kind = (case.operation.label, of.scenario, of.parameter, of.parameter_location, of.location)
        if kind in seen:
            return False
        fields = {name.lower(): str(value) for name, value in (case.headers or {}).items()}
        if any(name.startswith(UNREAD) for name in fields):
            sent = [case.method, UNREAD]
        else:
            sent = [case.method, case.formatted_path, case.media_type]
            sent += map(str, (case.query, case.body, *sorted(fields.items())))
        if (*sent,) in seen:
            return False
        seen.update((kind, (*sent,)))
        return True


@schemathesis.check
class OtherCallers:
    """The answers to the other callers are as described, too."""

    def __init__(self) -> None:
        self._cases: list[Any] = []

    def after_response(self, ctx: Any, response: Any, case: Any) -> None:
        if case.meta.phase.name is TestPhase.FUZZING:
            self._cases.append(case)

    def after_run(self, ctx: Any) -> None:
        checks = CHECKS.get_by_names(ASKED["checks"])
        with requests.Session() as http:
            http.trust_env = False
            for caller in ASKED["callers"]:
                headers = {}
                if caller["key"]:
                    made = http.post(
                        f"{caller['url']}/api/keys", json=caller["key"], headers=ASKED["operator"]
                    )
                    assert made.status_code == 201, made.text
                    headers = {"X-API-Key": made.json()["key"]}
                for case in self._cases:
                    case.call_and_validate(
                        base_url=caller["url"], headers=headers, session=http, checks=checks
                    )
