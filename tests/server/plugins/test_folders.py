"""Plugins in folders: which are found, and what applies when something cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from buntime.server.plugins.folders import PluginFolders
from buntime.server.plugins.found import Found
from tests.support.pluginfolders import rewrite, write_plugin


class Looker:
    """Reads folders, and remembers the warnings."""

    def __init__(self, *dirs: Path, **environ: str) -> None:
        self.dirs = dirs
        self.warned: list[str] = []
        self.folders = PluginFolders(
            body_default=1, body_max=1, environment="test", warn=self.warn, environ=environ
        )

    def warn(self, event: str, message: str, /, **fields: object) -> None:
        self.warned.append(event)

    def look(self) -> dict[str, Found]:
        return self.folders.look(self.dirs)


def test_names_and_scopes(tmp_path: Path) -> None:
    """Plain and scoped names are found; other folders are reported, once."""
    for name in ("audit", "@acme/audit"):
        write_plugin(tmp_path, name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "no name").mkdir()
    looker = Looker(tmp_path, tmp_path / "missing")
    for _ in range(2):
        assert sorted(looker.look()) == ["@acme/audit", "audit"]
    assert sorted(looker.warned) == ["plugin.bad_name", "plugin.no_manifest"]


def test_the_first_folder_wins(tmp_path: Path) -> None:
    """Of two plugins with one name the one in the first folder counts, and the other is
    reported."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_plugin(first, "audit", version="1.0.0")
    write_plugin(second, "audit", version="2.0.0")
    looker = Looker(first, second)
    manifest = looker.look()["audit"].manifest
    assert manifest is not None
    assert manifest.version == "1.0.0"
    assert looker.warned == ["plugin.duplicate"]


def test_the_first_folder_wins_also_unreadable(tmp_path: Path) -> None:
    """A manifest that cannot be read does not let a plugin in a later folder take its place."""
    write_plugin(tmp_path / "first", "authn", stage="nowhere")
    write_plugin(tmp_path / "second", "authn")
    found = Looker(tmp_path / "first", tmp_path / "second").look()["authn"]
    assert found.manifest is None
    assert "nowhere" in found.error


def test_it_stays_the_same_while_nothing_changes(tmp_path: Path) -> None:
    """A check that finds no change returns the same object; one that finds a change returns a new
    one."""
    folder = write_plugin(tmp_path, "audit")
    looker = Looker(tmp_path)
    first = looker.look()["audit"]
    assert looker.look()["audit"] is first
    rewrite(folder, "", version="1.1.0")
    assert looker.look()["audit"] is not first


@pytest.mark.parametrize("how", ["broken", "gone", "folder"])
def test_the_last_good_manifest_counts(tmp_path: Path, how: str) -> None:
    """A guard stays in force when its manifest can no longer be read."""
    folder = write_plugin(tmp_path, "guard", stage="access")
    looker = Looker(tmp_path)
    first = looker.look()["guard"]
    manifest = folder / "buntime.yaml"
    if how == "broken":
        manifest.write_text("stage: [", "utf-8")
    else:
        manifest.unlink()
    if how == "folder":
        manifest.mkdir()
    found = looker.look()["guard"]
    assert found.is_last_good
    assert found.error
    assert found.manifest == first.manifest
    assert found.app is first.app


def test_a_folder_that_is_gone_is_gone(tmp_path: Path) -> None:
    """Removing a plugin's folder removes the plugin."""
    folder = write_plugin(tmp_path, "audit")
    looker = Looker(tmp_path)
    assert looker.look()
    folder.rename(tmp_path.parent / f"{tmp_path.name}-away")
    assert looker.look() == {}


@pytest.mark.parametrize("stage", ["identity", "access"])
def test_a_guard_whose_folder_is_gone_still_counts(tmp_path: Path, stage: str) -> None:
    """A disk that is not mounted, or a folder being replaced, must not open what the guard
    protects: its last valid manifest counts until the plugin is disabled, or until its folder is
    back."""
    plugins = tmp_path / "plugins"
    folder = write_plugin(plugins, "guard", stage=stage)
    looker = Looker(plugins)
    first = looker.look()["guard"]
    plugins.rename(tmp_path / "away")
    found = looker.look()["guard"]
    assert found.is_last_good
    assert found.manifest == first.manifest
    assert found.app is first.app
    assert "guard" in found.error
    assert looker.look()["guard"] is found
    (tmp_path / "away").rename(plugins)
    back = looker.look()["guard"]
    assert not back.error
    assert not back.is_last_good
    rewrite(folder, "", stage="content")
    assert looker.look()["guard"].manifest is not None
    folder.rename(tmp_path / "gone")
    assert looker.look() == {}


def test_files_that_are_missing(tmp_path: Path) -> None:
    """Files that the manifest names must exist inside the folder; if not, the manifest is known all
    the same."""
    outside = tmp_path / "outside.py"
    outside.write_text("", "utf-8")
    plugins = tmp_path / "plugins"
    write_plugin(plugins, "code", None)
    write_plugin(plugins, "page", entrypoint="index.html", base="/page")
    write_plugin(plugins, "link", None)
    (plugins / "link" / "plugin.py").symlink_to(outside)
    looker = Looker(plugins)
    found = looker.look()
    for name, words in {"code": "no plugin.py", "page": "index.html", "link": "outside"}.items():
        assert words in found[name].error
        assert found[name].manifest is not None
        assert found[name].app is None
    (plugins / "code" / "plugin.py").write_text("", "utf-8")
    assert looker.look()["code"].error == ""


def test_icons_that_are_missing(tmp_path: Path) -> None:
    """A menu's icon that does not exist is reported, once; the plugin starts without it."""
    inner = {"title": "In", "path": "/in", "icon": "icons/in.svg"}
    menus = [{"title": "Audit", "path": "/", "icon": "audit.svg", "items": [inner]}]
    folder = write_plugin(tmp_path, "audit", base="/audit", menus=menus)
    looker = Looker(tmp_path)
    for _ in range(2):
        assert not looker.look()["audit"].error
    assert looker.warned == ["manifest.warning", "manifest.warning"]
    (folder / "icons").mkdir()
    for file in ("audit.svg", "icons/in.svg"):
        (folder / file).write_text("<svg/>")
    looker = Looker(tmp_path)
    looker.look()
    assert looker.warned == []


def test_options_come_from_the_environment(tmp_path: Path) -> None:
    """The process is given its options; if one is invalid no process starts."""
    option = {"type": "number", "env": "AUDIT_SIZE", "required": True}
    write_plugin(tmp_path, "audit", config={"size": option})
    app = Looker(tmp_path, AUDIT_SIZE="7").look()["audit"].app
    assert app is not None
    assert app.plugin is not None
    assert app.plugin["config"] == {"size": 7}
    assert "size is required" in Looker(tmp_path).look()["audit"].error
    assert "AUDIT_SIZE" in Looker(tmp_path, AUDIT_SIZE="x").look()["audit"].error
