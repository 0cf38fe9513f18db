"""Deploys through the API of a real runtime."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from tests.support.harness import OPERATORS_KEY, Runtime
from tests.support.wheels import make_wheel

Told = dict[str, Any]
Content = bytes | Iterator[bytes]

# Apps deployed by the API run as root only if an operator allows it, as these tests do as root.
AS_ROOT = {"RUNTIME_APP_USERS": "*=root"} if os.geteuid() == 0 else {}
APP = """
import os
from buntime import Response

def fetch(request):
    return Response(f"{VERSION} {os.getpid()}")
"""


def packed(files: Mapping[str, str | bytes], **manifest: object) -> bytes:
    """A tar.gz of these files; keywords become a manifest."""
    wanted = dict(files)
    if manifest:
        wanted["buntime.yaml"] = json.dumps(manifest)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        for name, content in wanted.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return archive.getvalue()


def app(version: str, *, code: str = APP, **manifest: object) -> bytes:
    """An app that answers with its version and its worker's pid."""
    options = {"ttl": 600, **manifest}
    return packed({"app.py": f"VERSION = {version!r}\n{code}"}, **options)


def package(name: str, size_bytes: int = 0, *, links: str = "wheels") -> dict[str, str | bytes]:
    """Files of an app that needs a package and carries its wheel; pip also looks for it in `links`.

    The package has `VALUE`, its own name, and a file of this many bytes.
    """
    files = {f"{name}.py": f"VALUE = '{name}'", f"{name}.bin": "\0" * size_bytes}
    file, wheel = make_wheel(name, "1.0", files)
    lock = f"--no-index\n--find-links {links}\n--find-links wheels\n{name}==1.0\n"
    return {"requirements.lock": lock, f"wheels/{file}": wheel}


def digest_field(archive: bytes) -> str:
    digest = hashlib.sha256(archive).digest()
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


class Operator:
    """A client that deploys, with the tests' key."""

    def __init__(self, runtime: Runtime) -> None:
        self.http = httpx.Client(
            base_url=runtime.url,
            trust_env=False,
            timeout=30,
            headers={"X-API-Key": runtime.operators_key or OPERATORS_KEY},
            verify=False,
        )

    def put(self, name: str, version: str, archive: Content, **options: Any) -> httpx.Response:
        """Deploy; `options` are query parameters, and `headers`."""
        headers = options.pop("headers", {})
        path = f"/api/apps/{name}/versions/{version}"
        return self.http.put(path, content=archive, params=options, headers=headers)

    def lines(
        self, name: str, version: str, archive: bytes, **options: Any
    ) -> list[dict[str, Any]]:
        """Deploy, and return a line for each step."""
        answer = self.put(
            name, version, archive, headers={"Accept": "application/x-ndjson"}, **options
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]

    def activate(self, name: str, version: str, **options: Any) -> httpx.Response:
        return self.http.post(f"/api/apps/{name}/versions/{version}/activate", params=options)

    def rollback(self, name: str, **options: Any) -> httpx.Response:
        return self.http.post(f"/api/apps/{name}/rollback", params=options)

    def remove(self, name: str, version: str, **options: Any) -> httpx.Response:
        return self.http.delete(f"/api/apps/{name}/versions/{version}", params=options)

    def deploys(self, **options: Any) -> list[Told]:
        answer = self.http.get("/api/deploys", params=options)
        found: list[Told] = answer.json()["deploys"]
        return found

    def said(self, path: str) -> str:
        """What an app answers; the answer must be 200."""
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


def fault(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error."""
    return answer.status_code, answer.json()["error"]["code"]
