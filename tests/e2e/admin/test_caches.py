"""The caches of a runtime, and how operators empty them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.client import fetch
from tests.support.harness import wait_until
from tests.support.pluginfolders import plugged, wait_for_state, write_plugin
from tests.support.runs import run

HOOK = """
from buntime.plugin import Continue
asked = 0
def on_request(request):
    global asked
    asked += 1
    return Continue(headers={"x-asked": str(asked)}, cache_s=60, any_path=True)
"""
ECHO = """
from buntime import Response
def fetch(request): return Response(request.headers["x-asked"])
"""


def test_a_purge(tmp_path: Path) -> None:
    """Each cache is listed; a dry run removes nothing; what is purged is rebuilt, and audited."""
    cache = tmp_path / "cache/buntime"
    uid = os.geteuid()
    for label in ("hello-3f2a81c0", "gone@1.0.0-3f2a81c1", "plugin:gone-3f2a81c2", "other"):
        place = cache / f"environments-{uid}" / label / ".venv-3f2a81c09d4e"
        place.mkdir(parents=True)
        (place / "large").write_bytes(bytes(5000))
    (cache / f"environments-{uid}" / "link-3f2a81c3").symlink_to(tmp_path)
    # An app that only another runtime of this host serves, and one whose folder is gone.
    for label, folder in (("others-3f2a81c4", tmp_path), ("moved-3f2a81c5", tmp_path / "gone")):
        place = cache / f"environments-{uid}" / label / ".venv-3f2a81c09d4e"
        place.mkdir(parents=True)
        (place.parent / "app").symlink_to(folder)
    write_plugin(tmp_path / "plugins", "counts", HOOK)
    shared = tmp_path / f"cache/shared/environments-{uid}/shared-3f2a81c6"
    shared.mkdir(parents=True)
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with plugged(tmp_path, first="tests.support.ownsharedcache", **env) as runtime:
        wait_for_state(runtime, "counts", "serving")
        (tmp_path / "apps/hello/app.py").write_text(ECHO)
        wait_until(lambda: fetch(runtime, "/hello").body == b"1")
        env = {"BUNTIME_TO": runtime.url, "BUNTIME_KEY": runtime.operators_key or ""}

        def caches(*words: str, code: int = 0) -> str:
            done = run("caches", *words, cwd=tmp_path, env=env)
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        told = {line.split()[0]: line.split()[1] for line in caches("list").splitlines()[1:]}
        assert told["verdicts"] == "1"
        assert told["environments"] == "4"
        assert "would be freed" in caches("purge", "--dry-run")
        assert fetch(runtime, "/hello").body == b"1"
        assert "freed" in caches("purge")
        assert fetch(runtime, "/hello").body == b"2"
        left = sorted(path.name for path in (cache / f"environments-{uid}").iterdir())
        assert left == ["hello-3f2a81c0", "link-3f2a81c3", "other", "others-3f2a81c4"]
        assert not shared.exists()
        assert "0 bytes freed" in caches("purge", "environments")
        assert "is not one of" in caches("purge", "everything", code=1)
        assert "needs list, or purge" in caches("list", "verdicts", code=2)
        key = {"X-API-Key": runtime.operators_key or ""}
        audit = fetch(runtime, "/api/audit", headers=key).json()["entries"]
        entry = next(each for each in audit if each["action"] == "caches.purge")
        assert entry["subject"] == "environments"
