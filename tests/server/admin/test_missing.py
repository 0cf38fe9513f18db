"""Errors about unknown names: they offer what the caller may see, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.core.access.rights import Caller, may, verbs_of
from buntime.core.errors import ClientFault
from buntime.server.admin.missing import check_exists, found_app, no_such, with_versions
from buntime.server.apps.catalog import Catalog
from tests.support.harness import write_app


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for label in ("shop@1.0.0", "shop@1.10.0", "shop@1.9.0", "blog", "shops@1.0.0"):
        write_app(tmp_path / label, {"app.py": ""})
    return Catalog([tmp_path], body_default=1, body_max=1, warn=lambda *_, **__: None)


def called(app: str, *globs: str) -> Any:
    caller = Caller("ci", "key", verbs_of(["viewer"]), globs or ("*",), None)
    return SimpleNamespace(
        values={"app": app},
        now=0.0,
        caller=caller,
        sees=lambda name: may(caller, "apps:read", name),
    )


def said(act: Callable[[], object]) -> str:
    with pytest.raises(ClientFault) as caught:
        act()
    assert (caught.value.status, caught.value.code) == (404, "app_not_found")
    return caught.value.message


def test_a_typo(catalog: Catalog) -> None:
    """The app that was probably meant is named; if none is close, none."""
    told = said(lambda: check_exists(called("shpo"), catalog))
    assert told == "there is no app shpo; did you mean shop? (see buntime list)"
    told = said(lambda: check_exists(called("invoices"), catalog))
    assert told == "there is no app invoices; see buntime list"
    check_exists(called("shop"), catalog)


def test_a_limited_key(catalog: Catalog) -> None:
    """A key for some apps learns the names of no others."""
    told = said(lambda: check_exists(called("shpo", "blog*", "shops"), catalog))
    assert told == "there is no app shpo; did you mean shops? (see buntime list)"
    told = said(lambda: check_exists(called("shpo", "blog*"), catalog))
    assert told == "there is no app shpo; see buntime list"


def test_an_unknown_version(catalog: Catalog) -> None:
    """The versions that there are follow, the newest first."""
    told = said(lambda: found_app(called("shop"), catalog, "shop", "2"))
    assert told == "shop has no version 2; it has 1.10.0, 1.9.0, 1.0.0"
    told = said(lambda: found_app(called("blog"), catalog, "blog", "2"))
    assert told == "blog has no version 2; its folder has none in its name"
    told = said(lambda: found_app(called("blgo"), catalog, "blgo", "2"))
    assert told == "there is no app blgo; did you mean blog? (see buntime list)"


def test_many_versions(catalog: Catalog, tmp_path: Path) -> None:
    """Of many versions the newest five are named."""
    for number in range(20, 27):
        write_app(tmp_path / f"shop@1.{number}.0", {"app.py": ""})
    told = with_versions(called("shop"), catalog, "shop", "no deploy has made shop@3.0.0")
    assert told.endswith("shop@3.0.0; it has 1.26.0, 1.25.0, 1.24.0, 1.23.0, 1.22.0, …")


def test_thousands_of_names() -> None:
    """Names of another length are not compared, so that the right one is found among thousands."""
    known = [*(f"{number:020}" for number in range(5000)), "shop"]
    assert "; did you mean shop? (" in no_such("plugin", "shpo", known)
