"""docs/micro-frontends.md describes what the scripts of pages and shells do."""

from __future__ import annotations

import re
from pathlib import Path

from buntime.core.access.frametokens import TICKET_S, TOKEN_S
from buntime.core.sites.shellrules import FRAME_ALIAS, SANDBOX

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/micro-frontends.md").read_text("utf-8")
SCRIPTS = {path.name: path.read_text("utf-8") for path in (ROOT / "buntime/frames").iterdir()}


def interface(name: str, script: str) -> set[str]:
    """The members of an interface or class in a file of type declarations."""
    body = re.search(rf"(?:interface|class) {name}\b[^{{]*\{{\n(.*?)\n\}}", SCRIPTS[script], re.S)
    assert body is not None
    return set(re.findall(r"^  (?:readonly )?\"?([\w-]+)\"?[?]?[(<:]", body[1], re.M))


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_calls_of_a_page() -> None:
    """The table, the types and the script have the same members of `frame`."""
    table = re.findall(r"^\| (`.*?) \|", section("A page"), re.M)
    told = {name for cell in table for name in re.findall(r"`(\w+)", cell)} - {"frame"}
    script = SCRIPTS["frame.js"].partition("export const frame = {")[2].partition("\n};")[0]
    there = set(re.findall(r"^  (?:async |get |set )?(\w+)[(:]", script, re.M))
    assert told == there == interface("Frame", "frame.d.ts")


def test_events_of_a_shell() -> None:
    """All events of a frame are described, and typed."""
    typed = interface("BtFrameEvents", "bt-frame.d.ts")
    talk, element = SCRIPTS["bt-talk.js"], SCRIPTS["bt-frame.js"]
    said = {f"bt-{name.lower()}" for name in re.findall(r"^  ([A-Z]+): \(\{", talk, re.M)}
    said |= {f"bt-{name}" for name in re.findall(r'take\.say\("(\w+)"', element)}
    said |= {f"bt-{name}" for name in re.findall(r'CustomEvent\("bt-(\w+)"', talk)}
    assert said == typed == set(re.findall(r"`(bt-(?!frame)\w+)`", section("A shell of your own")))


def test_messages() -> None:
    """Each message type is in the protocol, and in the scripts of both sides."""
    told = set(re.findall(r"`([A-Z]{4,})`", section("The protocol, version 1")))
    page, shell = SCRIPTS["frame.js"], SCRIPTS["bt-frame.js"] + SCRIPTS["bt-talk.js"]
    used = {"HELLO", "SHELL", "INIT"} | set(re.findall(r'(?:send|ask)\("([A-Z]+)"', page + shell))
    assert told == used
    for name in told - {"SHELL"}:
        assert name in page
        assert name in shell


def test_bounds() -> None:
    """Sizes, times and the sandbox are as the page says."""
    for name, text in (("frame.js", "65,536"), ("bt-talk.js", "65,536"), ("bt-talk.js", "16,384")):
        assert text.replace(",", "") in SCRIPTS[name]
        assert text in PAGE
    assert "new Budget(300, 0.1)" in SCRIPTS["bt-frame.js"]
    assert "300 messages, then 100 a second" in PAGE
    assert (TOKEN_S, TICKET_S) == (300, 30)
    assert SANDBOX in PAGE
    assert f'"{SANDBOX.removeprefix("sandbox ")}"' in SCRIPTS["bt-frame.js"]
    assert FRAME_ALIAS in PAGE
