"""The API is as its description says, whatever it is asked: no 500, no answer that is not told."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from buntime.core.admin.routes import ROUTES
from tests.support.client import fetch
from tests.support.harness import OPERATORS_KEY, running, write_app

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
# Names that are there, so that not all is 404.
NAMES = """
[parameters]
"path.app" = "shop"
"path.target" = "shop@1.0.0"
"query.app" = "shop"
"""
LEFT_OUT = tuple(
    f"--exclude-operation-id={each}"
    for each in ("cron.run", "events.list", "logs.list", "deploys.put")
)
BOUND_S = 150.0  # it takes 10 s; a machine may be busy
OWN = "def fetch(request): ...\n"


@pytest.mark.timeout(BOUND_S + 30)
def test_schemathesis(tmp_path: Path) -> None:
    """By a tool that makes requests of the description: what is right, what is nearly so, and what
    is not, with a seed. Left out are streams that need not end,
    and the upload of an archive, as bodies that are made up are all refused alike."""
    write_app(tmp_path / "apps/shop@1.0.0", {"app.py": OWN}, ttl=60)
    (tmp_path / "schemathesis.toml").write_text(NAMES)
    env = {"RUNTIME_ENV": "production", "RUNTIME_MASTER_KEY": OPERATORS_KEY}
    with running(tmp_path / "apps", env=env) as runtime:
        told = fetch(runtime, "/api/openapi.json").json()
        OpenAPIV31SpecValidator(told).validate()
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run"),
                *(f"{runtime.url}/api/openapi.json", "--url", runtime.url),
                *("--header", f"X-API-Key: {OPERATORS_KEY}", *LEFT_OUT),
                *("--seed", "1", "--max-examples", "3", "--no-shrink", "--continue-on-failure"),
                *("--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS)),
                *("--warnings", "off", "--generation-database", "none"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND_S,
        )
        assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
        chosen = re.search(r"Operations: +(\d+) selected", done.stdout)
        assert chosen is not None, done.stdout
        # All of them, but for the page that it has read the description from.
        assert int(chosen[1]) >= len(ROUTES.routes) - len(LEFT_OUT) - 1
        assert not [each for each in runtime.records if each["event"] == "runtime.internal_error"]
        assert fetch(runtime, "/api/apps/shop").status == 200  # it goes on
