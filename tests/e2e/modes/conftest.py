"""What is tested in each form of Buntime, and what of a checkout alone.

A packaged file differs from a checkout in how it starts, in what it includes, and, as the binary,
in the Python that runs it. It includes the same files, byte for byte
(test_it_is_the_checkout in tests/artifacts/test_pyz.py; artifacts/content.py collects them for both
forms), and a whole standard library (test_the_standard_library in test_form.py). So code behaves
alike in each form once it runs: of the tests of behaviour a packaged file passes one for each way
in which an app can be served, which shows that the way is open. A file of tests that the command
line names is run whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.harness import UNDER_TEST

# Tests of files that are not below run in each form.
OF_EACH_FORM: dict[str, tuple[str, ...]] = {
    # Each kind of app, with a worker that is kept and one for each request.
    "test_kinds.py": ("test_target", "test_ttl_0", "test_environ"),
    "test_frameworks.py": ("test_routing", "test_worker_for_each_request"),
    "test_websocket.py": ("test_echo", "test_ttl_0"),
    "test_events.py": ("test_at_once",),
    # Hosts, names and versions are decided before an app is reached.
    "test_hosts.py": ("test_the_default_app",),
    "test_versions.py": ("test_base",),
    # The code of the pages is apps and plugins like those of the other tests.
    "test_readme.py": (),
    # What another client sees is what the server sends, whatever has started it.
    "test_node_ws.py": (),
    "test_browser.py": (),
    "test_signin.py": (),
    # It starts no runtime.
    "test_asgi_strict.py": (),
}


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    if UNDER_TEST:
        left_out = [each for each in items if _is_left_out(session, each)]
        items[:] = [each for each in items if each not in left_out]
        config.hook.pytest_deselected(items=left_out)


def _is_left_out(session: pytest.Session, item: pytest.Item | pytest.Collector) -> bool:
    if not isinstance(item, pytest.Function) or session.isinitpath(item.path):
        return False
    kept: Sequence[str] | None = OF_EACH_FORM.get(item.path.name)
    return kept is not None and item.path.parent.name == "modes" and item.originalname not in kept


@pytest.fixture(scope="session")
def of_each_form() -> dict[str, tuple[str, ...]]:
    return OF_EACH_FORM
