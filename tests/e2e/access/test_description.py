"""The API matches its description, whatever it is asked: no 500, no undescribed answer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.configuration import storage_directory

from buntime import __version__
from buntime.core.admin.openapi import document
from buntime.core.admin.routes import ROUTES
from tests.support.client import fetch
from tests.support.forwarding import in_front_of
from tests.support.harness import OPERATORS_KEY, ROOT, Runtime, running, write_app
from tests.support.runs import environ

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
# Names that exist, so that not every answer is 404.
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
# The phase `coverage` always asks the same: 2,400 times if thorough. `fuzzing` invents more.
IS_THOROUGH = settings.get_current_profile_name() == "thorough"
MANY = ("--max-examples", "30" if IS_THOROUGH else "1", "--phases", "coverage,fuzzing")
BOUND_S = 150.0 * (8 if IS_THOROUGH else 1)  # it takes 15 s at most; a machine may be busy
# Keys that may only read, or act only on other apps.
OTHERS_KEYS = (
    {"name": "reader", "roles": ["viewer"], "apps": ["*"]},
    {"name": "of-blogs", "roles": ["operator"], "apps": ["blog*"]},
)
OPERATOR = {"X-API-Key": OPERATORS_KEY}
OWN = "def fetch(request): ...\n"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def runtime(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    folder = tmp_path_factory.mktemp("described")
    for name in ("shop@1.0.0", "blog@1.0.0"):
        write_app(folder / name, {"app.py": OWN}, ttl=60)
    env = {
        "RUNTIME_ENV": "production",
        "RUNTIME_MASTER_KEY": OPERATORS_KEY,
        "RUNTIME_STATE_DIR": str(state),
    }
    with running(folder, env=env) as runtime:
        yield runtime


@pytest.mark.timeout(BOUND_S + 30)
def test_schemathesis(runtime: Runtime, state: Path, tmp_path: Path) -> None:
    """A tool makes requests from the description, with a seed: valid, nearly valid and invalid
    ones. What it invents is asked once more with lesser keys, and at the control socket. Left out
    are streams that need not end, and the upload of an archive, as invented bodies are all refused
    alike."""
    told = fetch(runtime, "/api/openapi.json").json()
    # tests/core/admin/test_openapi.py has this document validated.
    described = document(ROUTES.routes, version=__version__, prefix="", api_prefix="")
    assert told == json.loads(json.dumps(described))
    (tmp_path / "schemathesis.toml").write_text(NAMES)
    with in_front_of(state / "control.sock") as control:
        callers = [{"url": runtime.url, "key": key} for key in OTHERS_KEYS]
        callers.append({"url": control, "key": None})
        more = {
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.support.othercallers",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(storage_directory().path),
            "ASKED_AGAIN": json.dumps({"callers": callers, "checks": CHECKS, "operator": OPERATOR}),
            **({} if IS_THOROUGH else {"ASKED_ONCE": ""}),
        }
        done = subprocess.run(
            [
                *(Path(sys.executable).with_name("schemathesis"), "run"),
                *(f"{runtime.url}/api/openapi.json", "--url", runtime.url, *LEFT_OUT),
                *("--seed", "1", "--no-shrink", "--continue-on-failure"),
                *("--checks", ",".join((*CHECKS, "OtherCallers")), "--warnings", "off"),
                *("--header", f"X-API-Key: {OPERATORS_KEY}"),
                *("--generation-database", "none", *MANY),
            ],
            cwd=tmp_path,
            env=environ(more),
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND_S,
        )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
    chosen = re.search(r"Operations: +(\d+) selected", done.stdout)
    assert chosen is not None, done.stdout
    # All of them, except for the page that the tool has read the description from.
    assert int(chosen[1]) >= len(ROUTES.routes) - len(LEFT_OUT) - 1
    assert not [each for each in runtime.records if each["event"] == "runtime.internal_error"]
    assert fetch(runtime, "/api/apps/shop").status == 200  # it still serves
    by_socket = [each for each in runtime.records if each.get("client") == "unix"]
    assert len(by_socket) >= int(chosen[1]), "the others have asked, too"
