"""Environments' folders are named after their apps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buntime.server.pythons.environments import environments_in, key_of, label_of, link_app, remove
from buntime.server.pythons.identity import Identity
from buntime.server.pythons.installer import Owner, home_of
from tests.support.apps import make_app
from tests.support.disks import nest

KEYS = ["shop", "shop@1.2.0", "@acme/shop", "@acme/shop@2.0.0", "plugin:audit"]


@pytest.mark.parametrize("key", KEYS)
def test_a_name_is_found_by_its_folder(key: str, tmp_path: Path) -> None:
    label = label_of(key)
    assert key_of(label) == key
    (tmp_path / "environments-33" / f"{label}-3f2a81c0").mkdir(parents=True)
    assert [each.key for each in environments_in(str(tmp_path))] == [key]


def test_whether_the_app_is_there(tmp_path: Path) -> None:
    """The link in the folder of an app's environments decides, once its target is gone too."""
    app, home = tmp_path / "apps/shop", tmp_path / "environments-33/shop-3f2a81c0"
    app.mkdir(parents=True)
    home.mkdir(parents=True)

    def has_app() -> list[bool]:
        return [each.has_app for each in environments_in(str(tmp_path))]

    assert has_app() == [False]
    link_app(str(home), str(app))
    link_app(str(home), str(app))
    assert has_app() == [True]
    app.rmdir()
    assert has_app() == [False]
    (home / "app").unlink()
    os.mkfifo(home / "app")
    assert has_app() == [False]


def test_an_environment_of_a_plugin_can_be_made(tmp_path: Path) -> None:
    """Python cannot create one in a folder whose path has a colon, as `plugin:audit` has."""
    app = make_app("plugin:audit", folder=tmp_path / "audit")
    home = home_of(app, Owner(Identity("www", 33, 33, (), "/"), tmp_path), {})
    line = [sys.executable, "-m", "venv", "--without-pip", str(home / ".venv")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_an_environment_with_folders_that_are_nested_deeply_is_removed(tmp_path: Path) -> None:
    """A package, or the app, may have created such folders."""
    folder = tmp_path / f"environments-{os.getuid()}" / "shop-3f2a81c0"
    folder.mkdir(parents=True)
    nest(folder)
    [found] = environments_in(str(tmp_path))
    remove(found)
    assert not folder.exists()
