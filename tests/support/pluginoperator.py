"""Operates a runtime's plugins, by the command line and by the API."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from buntime.commands.cli import main
from tests.support.client import Answer, fetch
from tests.support.harness import Runtime


class PluginOperator:
    """Runs `buntime plugins` in this process, for one runtime."""

    def __init__(
        self, runtime: Runtime, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.runtime = runtime
        self._patch = patch
        self._capture = capture
        patch.setenv("BUNTIME_TO", runtime.url)
        patch.setenv("BUNTIME_KEY", runtime.operators_key or "")

    def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        """What `buntime plugins` prints, on stdout or stderr; its exit code must be `code`."""
        buffer = io.BytesIO(stdin.encode())
        stream = SimpleNamespace(
            buffer=buffer,
            isatty=lambda: False,
            read=lambda size: buffer.read(size).decode(),
            readline=lambda: buffer.readline().decode(),
        )
        self._patch.setattr(sys, "stdin", stream)
        ended = main(["plugins", *words], mode="checkout")
        out, err = self._capture.readouterr()
        assert ended == code, (words, out, err)
        return (out + err).rstrip("\n")

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", code=code))

    def show(self, name: str) -> dict[str, Any]:
        """What the API says about a plugin."""
        told: dict[str, Any] = self.ask("GET", f"/api/plugins/{name}").json()
        return told

    def ask(
        self,
        method: str,
        path: str,
        value: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        body = None if value is None else json.dumps(value).encode()
        fields = {"X-API-Key": self.runtime.operators_key or "", **(headers or {})}
        if body is not None:
            fields["Content-Type"] = "application/json"
        return fetch(self.runtime, path, method=method, headers=fields, body=body)

    def audited(self, action: str) -> list[dict[str, Any]]:
        """The ended audit entries of an action, newest first."""
        entries = self.ask("GET", "/api/audit?limit=1000").json()["entries"]
        ended = [each for each in entries if each["result"] != "begun"]
        return [each for each in ended if each["action"] == action]
