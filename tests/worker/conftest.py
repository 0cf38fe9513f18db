"""A bundle for the whole run, and a workshop for each test."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.workshop import Lasting, Worker, Workshop, make_bundle, workshop

SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "worker")


# Files about how workers start, what they import or replace, and how they end: nothing is forked
# there.
AFRESH = (
    "test_boot", "test_greenlets", "test_hardening", "test_hooks", "test_importtimes",
    "test_limits", "test_load", "test_shadows",
)  # fmt: skip


@pytest.fixture
def shop(bundle: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workshop]:
    folder = tmp_path / "app"
    folder.mkdir()
    with workshop(bundle, folder) as made:
        made.forks = request.path.stem not in AFRESH
        yield made


@pytest.fixture(scope="module")
def lasting(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    """Workers for tests that only send requests: all tests of a file share those of an app."""
    workers: dict[str, Worker] = {}
    with contextlib.ExitStack() as stack:

        def worker_of(source: str) -> Worker:
            if source not in workers:
                folder = tmp_path_factory.mktemp("lasting")
                shop = stack.enter_context(workshop(bundle, folder))
                shop.forks = True
                workers[source] = shop.start(source)
            workers[source].forget()
            return workers[source]

        yield worker_of


@pytest.fixture
def open_shop() -> Iterator[Workshop]:
    """A workshop for workers that become another user: everybody can read all of it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if SYSTEM_PYTHON is None:
        pytest.skip("there is no Python that every user can read")
    with tempfile.TemporaryDirectory(prefix="buntime-worker-") as name:
        folder = Path(name)  # pytest's own are private
        folder.chmod(0o755)
        (folder / "app").mkdir()
        with workshop(make_bundle(folder / "worker"), folder / "app") as made:
            made.python = SYSTEM_PYTHON
            yield made
