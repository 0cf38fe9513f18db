"""What hooks answer at the operators' address is not in the origin that operators sign in at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.client import Answer, fetch
from tests.support.framing import TALK, with_desk
from tests.support.harness import Runtime
from tests.support.operators import ADMIN, Operator, address_of
from tests.support.pluginfolders import wait_for_state

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-downloads"
HOOKS = """
from buntime import Response
def on_request(request):
    if "answer" in request.query:
        return Response("<script>", headers={"Content-Type": "text/html"})
def on_response(request, response):
    if "replace" in request.query:
        return Response("<script>", headers={"Content-Type": "text/html"})
    if "retype" in request.query:
        response.headers["Content-Type"] = "text/html; charset=iso-2022-jp"
    if "unguard" in request.query:
        del response.headers["Content-Security-Policy"]
    if "clear" in request.query:
        response.headers["Clear-Site-Data"] = '"*"'
    response.headers["X-Seen"] = "yes"
    return response
"""
GUARDED = TALK | {"index.html": "<title>guarded</title>"}
POLICY = {"/**": {"Content-Security-Policy": "script-src 'none'"}}


@pytest.fixture(scope="module", params=["sandboxed", "trusted"])
def asked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, bool]]:
    """A runtime in which a plugin hooks all others, and whether the operator trusts it."""
    folder = tmp_path_factory.mktemp("hooked")
    config = folder / "buntime.config.yaml"
    hooking = f"{{frame: {request.param}}}"
    config.write_text(f"plugins: {{friend: {{frame: trusted}}, hooking: {hooking}}}")
    pages = {"friend": GUARDED, "shell": TALK, "hooking": {**TALK, "plugin.py": HOOKS}}
    env = {"RUNTIME_SHELL": "shell", "RUNTIME_CONFIG": str(config), **ADMIN}
    with with_desk(folder, pages, {"friend": {"headers": POLICY}}, **env) as runtime:
        wait_for_state(runtime, "hooking", "serving")
        yield runtime, request.param == "trusted"


def ask(runtime: Runtime, path: str) -> tuple[Answer, bool]:
    """The answer, and whether its page is in a sandbox."""
    answer = Operator(address_of(runtime)).ask("GET", path)
    said = answer.headers.get_all("content-security-policy") or []
    assert "frame-ancestors 'self'" in said
    return answer, SANDBOX in said


@pytest.mark.parametrize("base", ["friend", "shell"])
@pytest.mark.parametrize("path", ["?answer", "api/x?answer", "?replace", "api/x?replace"])
def test_an_answer_has_its_own_sandbox(asked: tuple[Runtime, bool], base: str, path: str) -> None:
    """What a hook answers for a trusted plugin, or the shell, is as trusted as the hook's."""
    runtime, is_trusted = asked
    answer, is_in_sandbox = ask(runtime, f"/{base}/{path}")
    assert (answer.status, answer.body) == (200, b"<script>")
    assert is_in_sandbox is not is_trusted


@pytest.mark.parametrize("path", ["?retype", "api/x?retype", "?unguard"])
def test_a_changed_content_has_one(asked: tuple[Runtime, bool], path: str) -> None:
    """The same is true where a hook changes what an answer is taken for."""
    runtime, is_trusted = asked
    answer, is_in_sandbox = ask(runtime, f"/friend/{path}")
    assert (answer.status, answer.headers["x-seen"]) == (200, "yes")
    assert is_in_sandbox is not is_trusted


def test_other_changes_leave_a_page_as_it_is(asked: tuple[Runtime, bool]) -> None:
    """A hook that adds fields, as for a trace, takes no trusted page out of its origin."""
    answer, is_in_sandbox = ask(asked[0], "/friend/")
    assert answer.headers["x-seen"] == "yes"
    assert not is_in_sandbox


def test_a_hook_signs_no_operator_out(asked: tuple[Runtime, bool]) -> None:
    """No plugin says anything about the operators' host; about the host of the apps its hooks
    may."""
    runtime, _ = asked
    answer, _ = ask(runtime, "/friend/?clear")
    assert (answer.headers["x-seen"], answer.headers["clear-site-data"]) == ("yes", None)
    at_apps = fetch(runtime, "/friend/?clear")
    assert at_apps.headers["clear-site-data"] == '"*"'
