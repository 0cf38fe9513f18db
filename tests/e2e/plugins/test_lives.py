"""Plugins are found, started in their order, and ended in its reverse."""

from __future__ import annotations

from pathlib import Path

from tests.support.pluginfolders import lines, plugged, write_plugin

TELLS = """
from buntime.plugin import plugin
def on_init(): print(plugin.name, "init")
def on_server_start(): print(plugin.name, "started")
def on_shutdown(): print(plugin.name, "down")
"""


def test_each_starts_behind_what_it_needs(tmp_path: Path) -> None:
    """A plugin starts when what it needs serves, is told, and ends before it."""
    write_plugin(tmp_path / "plugins", "a", TELLS, dependencies=["c"])
    write_plugin(tmp_path / "plugins", "b", TELLS, dependencies=["a"])
    write_plugin(tmp_path / "plugins", "c", TELLS)
    with plugged(tmp_path) as runtime:
        runtime.wait_for_line("b started")
        assert runtime.stop() == 0
        said = lines(runtime)
    assert [each for each in said if each.endswith("init")] == ["c init", "a init", "b init"]
    for name in ("a", "b", "c"):
        assert said.index(f"{name} started") > said.index(f"{name} init")
    assert said[-3:] == ["b down", "a down", "c down"]


def test_who_cannot_start_is_told_of(tmp_path: Path) -> None:
    """What is missing, disabled, failed or in a circle is named where others need it."""
    write_plugin(tmp_path / "plugins", "off", enabled=False)
    write_plugin(tmp_path / "plugins", "raises", "def on_init(): raise RuntimeError('no disk')")
    for name, need in {
        "a": "nobody",
        "b": "off",
        "c": "raises",
        "d": "c",
        "round": "trip",
        "trip": "round",
    }.items():
        write_plugin(tmp_path / "plugins", name, dependencies=[need])
    with plugged(tmp_path) as runtime:
        runtime.wait_for_record("plugin.start_failed", plugin="raises")

        def why(name: str) -> str:
            error: str = runtime.wait_for_record("plugin.left_out", plugin=name)["error"]
            return error

        assert why("a") == "a needs nobody, which is not installed"
        assert why("b") == "b needs off, which is disabled"
        assert why("c").startswith("c needs raises, which failed to load: plugin.py: RuntimeError")
        assert "left out since raises failed to load" in why("d")
        assert "round -> trip -> round" in why("round")
        assert "round -> trip -> round" in why("trip")
