"""Time zones by name, and the error where there are none."""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from buntime.core.apps.router import RESERVED
from buntime.core.errors import ManifestError
from buntime.core.values.units import BadValue
from buntime.server.apps.catalog import Catalog
from buntime.server.apps.zones import zone
from tests.support.harness import write_app


@pytest.fixture
def no_database(tmp_path: Path) -> Iterator[None]:
    path = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([tmp_path])
    zone.cache_clear()
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(path)
    zone.cache_clear()


def test_a_zone() -> None:
    """A name in the database gives a zone, always the same object."""
    assert str(zone("Europe/Berlin")) == "Europe/Berlin"
    assert zone("Europe/Berlin") is zone("Europe/Berlin")


@pytest.mark.parametrize("name", ["Europe/Nowhere", "Europe", "posixrules/x", "tzdata.zi"])
def test_no_zone(name: str) -> None:
    """Anything else is refused, including a folder or another file of the database."""
    with pytest.raises(BadValue, match="is not in this machine's database"):
        zone(name)


@pytest.mark.skipif("tzdata" in sys.modules, reason="tzdata is a package here")
def test_no_database(no_database: None) -> None:
    """Without a database there is only UTC, and the error for other zones says what to do."""
    assert str(zone("UTC")) == "UTC"
    with pytest.raises(BadValue, match="no database of time zones; install the package tzdata"):
        zone("Europe/Berlin")


def test_faults_of_manifests(tmp_path: Path) -> None:
    """An app is faulty if a job has an unknown zone, or if nothing in it can answer a job."""
    job = {"schedule": "@daily", "path": "/clean"}
    write_app(tmp_path / "a", {"app.py": ""}, cron=[{**job, "timezone": "Europe/Nowhere"}])
    write_app(tmp_path / "b", {"index.html": ""}, cron=[job])
    write_app(tmp_path / "c", {"index.html": ""}, cron=[{"schedule": "@daily", "run": "true"}])
    catalog = Catalog(
        [tmp_path], body_default=1, body_max=1, warn=lambda *_, **__: None, reserved=RESERVED
    )
    with pytest.raises(ManifestError, match=r"a/buntime.yaml: cron: clean: timezone 'Europe/No"):
        catalog.find("a", None, 0.0)
    with pytest.raises(ManifestError, match=r"b/buntime.yaml: cron: clean: a site has no code"):
        catalog.find("b", None, 0.0)
    assert catalog.find("c", None, 0.0).is_static
