"""Deploys by the API: to a running runtime, and what is seen of them."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deploying import APP, AS_ROOT, Operator, app, digest_field, fault, packed
from tests.support.harness import Runtime, running, wait_until, write_app
from tests.support.hostilearchives import TARS, zipped


@pytest.fixture(scope="module")
def runtime(apps: Path) -> Iterator[Runtime]:
    with running(apps, env={"RUNTIME_ENV": "production", **AS_ROOT}) as runtime:
        yield runtime


def names(apps: Path, *below: str) -> list[str]:
    """What is in a folder, except for files named `turn`."""
    return sorted(each for each in os.listdir(apps.joinpath(*below)) if each != "turn")


def test_the_first_deploy(operator: Operator, apps: Path, runtime: Runtime) -> None:
    """A first deploy serves when its answer comes, by the worker that was tried."""
    archive, before = app("1.0.0"), {*names(apps), ".releases"}
    digest = {"Content-Digest": digest_field(archive)}
    answer = operator.put("first", "1.0.0", archive, headers=digest)
    told = answer.json()
    assert answer.status_code == 201, told
    steps = [each["step"] for each in told["steps"]]
    assert steps == ["begun", "received", "unpacked", "checked", "booted", "active"]
    assert (told["state"], told["step"], told["url"]) == ("done", "active", f"{runtime.url}/first/")
    version, pid = operator.said("/first/").split()
    assert version == "1.0.0"
    assert operator.said("/first@1.0.0/").split() == ["1.0.0", pid]
    assert operator.said("/first@^1.0.0/").split() == ["1.0.0", pid]
    loads = [each for each in runtime.records if each["event"] == "worker.ready"]
    assert len([each for each in loads if each.get("app") == "first"]) == 1
    assert {*names(apps)} - before == {"first"}
    assert operator.http.get(answer.headers["location"]).json() == told
    assert operator.deploys(app="first") == [told]
    again = operator.put("first", "1.0.0", archive, headers=digest)
    assert (again.status_code, again.json()["step"]) == (200, "unchanged")
    untold = operator.put("first", "1.0.0", archive)
    assert (untold.status_code, untold.json()["step"]) == (200, "unchanged")
    other = app("1.0.0", timeout=7)
    refused = operator.put("first", "1.0.0", other, headers={"Content-Digest": digest_field(other)})
    assert fault(refused) == (409, "version_exists")
    assert fault(operator.put("first", "1.0.0", other)) == (409, "version_exists")
    assert operator.put("first", "1.0.0", other, replace=1).status_code == 201
    assert operator.said("/first/").split()[1] != pid


def test_content_that_serves_already(operator: Operator) -> None:
    """With `ifChanged` the content of the active version becomes no other version; that of another
    version does, and so does any without it."""
    same, other = app("1.0.0"), app("1.1.0")
    if_changed = {"headers": {"Content-Digest": digest_field(same)}, "ifChanged": 1}
    assert operator.put("steady", "1.0.0", same, **if_changed).status_code == 201
    told = operator.put("steady", "1.0.1", same, **if_changed).json()
    assert (told["step"], told["version"], told["url"][-8:]) == ("unchanged", "1.0.0", "/steady/")
    assert operator.put("steady", "1.0.1", same).json()["step"] == "active"
    assert operator.put("steady", "1.1.0", other).json()["step"] == "active"
    older = operator.put("steady", "1.0.0", same).json()
    assert (older["step"], older["url"][-14:]) == ("unchanged", "/steady@1.0.0/")
    assert older["steps"][-1]["active"] is False
    back = operator.put("steady", "1.1.1", same, **if_changed).json()
    assert (back["step"], back["version"]) == ("active", "1.1.1")


def test_the_next_one_rolled_back(operator: Operator) -> None:
    """A rollback goes to what was active before; ranges skip the version that it left."""
    for version in ("1.0.0", "1.1.0"):
        assert operator.put("next", version, app(version)).status_code == 201
        assert operator.said("/next/").split()[0] == version
    assert operator.said("/next@1/").split()[0] == "1.1.0"
    answer = operator.rollback("next")
    assert answer.status_code == 200
    assert answer.json()["version"] == "1.0.0"
    assert operator.said("/next/").split()[0] == "1.0.0"
    assert operator.said("/next@1/").split()[0] == "1.0.0"
    assert operator.said("/next@1.1.0/").split()[0] == "1.1.0"
    refused = operator.rollback("next")
    assert fault(refused) == (409, "nothing_before")
    assert refused.json()["error"]["message"].endswith("to another: buntime activate next@VERSION")
    assert operator.activate("next", "1.1.0").status_code == 200
    assert operator.said("/next/").split()[0] == operator.said("/next@1/").split()[0] == "1.1.0"
    told = operator.http.get("/api/audit", params={"app": "next"}).json()
    ends = [each for each in told["entries"] if each["result"] == "done"]
    versions = [(each["before"]["version"], each["after"]["version"]) for each in ends]
    assert [each["action"] for each in ends][:2] == ["deploys.activate", "deploys.rollback"]
    assert versions == [("1.0.0", "1.1.0"), ("1.1.0", "1.0.0"), ("1.0.0", "1.1.0"), (None, "1.0.0")]
    assert fault(operator.remove("next", "1.1.0")) == (409, "version_active")
    assert operator.remove("next", "1.0.0", dryRun=1).status_code == 200
    assert operator.remove("next", "1.0.0").status_code == 200
    assert operator.http.get("/next@1.0.0/").status_code == 404
    told = operator.http.get("/api/audit", params={"app": "next", "limit": 1}).json()
    (entry,) = told["entries"]
    assert (entry["action"], entry["subject"]) == ("deploys.remove", "next@1.0.0")
    assert entry["before"] == {"version": "1.1.0", "versions": ["1.0.0", "1.1.0"]}
    assert entry["after"] == {"version": "1.1.0", "versions": ["1.1.0"]}
    assert fault(operator.remove("next", "1.0.0")) == (404, "version_not_found")
    assert fault(operator.activate("next", "1.0.0")) == (404, "version_not_found")


def test_lines(operator: Operator) -> None:
    """A client that accepts NDJSON gets a line for each step, with its time."""
    lines = operator.lines("lines", "1.0.0", app("1"))
    assert [each["step"] for each in lines] == [
        *("received", "unpacked", "checked", "booted", "active")
    ]
    assert all(each["at"].endswith("Z") for each in lines)
    assert lines[-1]["url"].endswith("/lines/")


@pytest.mark.parametrize(
    ("archive", "failed", "code"),
    [
        (b"hello", "unpacked", "archive_unknown"),
        (TARS["slip"][0](), "unpacked", "archive_path_parent"),
        (packed({"app.py": ""}, ttl="soon"), "checked", "app_invalid"),
        (packed({"readme.txt": ""}), "checked", "app_invalid"),
        (app("2", code="print(7)\nimport nothing_like_that"), "booted", "app_boot_failed"),
        (app("2", code="import os; os._exit(3)"), "booted", "app_boot_failed"),
    ],
    ids=["no archive", "hostile", "manifest", "no entrypoint", "import", "dies"],
)
def test_a_broken_one(
    operator: Operator, apps: Path, archive: bytes, failed: str, code: str
) -> None:
    """A broken deploy fails at its step, leaves nothing, and what served still serves."""
    operator.put("broken", "1.0.0", app("1"))
    served = operator.said("/broken/")
    before = of_app(apps, "broken")
    lines = operator.lines("broken", "2.0.0", archive)
    assert (lines[-1]["failed"], lines[-1]["error"]["code"]) == (failed, code)
    if "nothing_like_that" in lines[-1]["error"]["message"]:
        assert "ModuleNotFoundError" in lines[-1]["stack"]
        assert lines[-1]["log"] == ["7"]
    answer = operator.put("broken", "2.0.0", archive)
    assert answer.json()["error"]["code"] == code
    assert answer.status_code in (415, 422, 500)
    assert of_app(apps, "broken") == before
    assert operator.said("/broken/") == served
    assert operator.deploys(app="broken")[0]["state"] == "failed"


@pytest.mark.parametrize(
    ("code", "message", "note"),
    [
        ("import nothing_like_that", "(line 2); have the host install it: `autoInstall: ", ""),
        ("raise RuntimeError('no settings')", "RuntimeError: no settings (line 2)", "SOME_TOKEN"),
    ],
)
def test_why_it_did_not_load(operator: Operator, code: str, message: str, note: str) -> None:
    """The message of the failed deploy has the error, its line and the advice, whatever else the
    runtime has to say about it."""
    archive = app("2", code=code, env={"SOME_TOKEN": "x"})
    error = operator.lines("unloaded", "1.0.0", archive)[-1]
    assert "the app could not be loaded: app.py: " in error["error"]["message"]
    assert message in error["error"]["message"]
    assert note in error["stack"]


def of_app(apps: Path, name: str) -> list[Path]:
    """All files and folders of the app, except for bytecode, even while some are removed."""
    found = [*apps.glob(f"{name}*")]
    for folder, _, files in os.walk(apps / ".releases" / name):
        found += [Path(folder), *(Path(folder, each) for each in files)]
    return sorted(each for each in found if "__pycache__" not in each.parts)


def test_a_dry_run(operator: Operator, apps: Path) -> None:
    """A dry run checks everything that needs no code of the app, and changes nothing."""
    answer = operator.put("dry", "1.0.0", app("1", code="import nothing_like_that"), dryRun=1)
    assert (answer.status_code, answer.json()["step"]) == (200, "tried")
    wait_until(lambda: of_app(apps, "dry") == [])
    assert operator.http.get("/dry/").status_code == 404


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"secrets": ["KEY"]}, "buntime secrets set dry KEY"),
        ({"python": "/nowhere/python3"}, "/nowhere/python3"),
        ({"autoInstall": True}, "autoInstall"),
    ],
)
def test_a_dry_run_of_what_cannot_load(
    operator: Operator, apps: Path, manifest: dict[str, object], said: str
) -> None:
    """It fails as the deploy would, if that can be known without running code of the app."""
    answer = operator.put("dry", "1.0.0", app("1", **manifest), dryRun=1)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"]) == (422, "app_invalid")
    assert said in told["message"]
    wait_until(lambda: of_app(apps, "dry") == [])
    real = operator.put("dry", "1.0.0", app("1", **manifest))
    assert real.status_code >= 400
    assert said in real.json()["error"]["message"]
    wait_until(lambda: of_app(apps, "dry") == [])  # not even an empty folder with a lock


def test_other_archives(operator: Operator) -> None:
    """A zip, an archive with a folder at its top, a static site, and a scope work."""
    site = zipped(("site-1.0/index.html", b"<h1>hello</h1>"), ("site-1.0/a.txt", b"a"))
    assert operator.put("site", "1.0.0", site).status_code == 201
    assert operator.said("/site/a.txt") == "a"
    assert operator.put("@acme/shop", "1.0.0", app("acme")).status_code == 201
    assert operator.said("/@acme/shop/").split()[0] == "acme"


def test_an_app_for_each_request(operator: Operator, runtime: Runtime) -> None:
    """With `ttl: 0` the worker that was tried answers the first request."""
    assert operator.put("once", "1.0.0", app("1", ttl=0)).status_code == 201
    pids = {operator.said("/once/").split()[1] for _ in range(2)}
    assert len(pids) == 2


def test_an_app_that_is_a_folder(operator: Operator, apps: Path) -> None:
    """Deploys of such an app are kept beside its folder; after a rollback the folder serves."""
    write_app(apps / "flat", {"app.py": f"VERSION = 'flat'\n{APP}"}, ttl=600)
    assert operator.put("flat", "1.0.0", app("1.0.0")).status_code == 201
    assert operator.said("/flat/").split()[0] == "1.0.0"
    assert (apps / "flat@latest").is_symlink()
    assert operator.rollback("flat").status_code == 200
    assert not (apps / "flat@latest").is_symlink()
    assert operator.said("/flat/").split()[0] == "flat"


def test_refused_by_the_head(operator: Operator, apps: Path) -> None:
    """A fault in the name, the room or a digest is reported before the body is sent."""
    assert fault(operator.put("health", "1.0.0", app("1"))) == (400, "bad_app_name")
    assert fault(operator.put("shop", "latest", b"x")) == (400, "bad_version")
    assert fault(operator.put("shop", "1.2", b"x")) == (400, "bad_version")
    assert fault(operator.put("shop", "9.0.0", b"")) == (400, "archive_missing")
    digest = {"Content-Digest": "sha-256=:AAAA:"}
    assert fault(operator.put("shop", "9.0.0", b"x", headers=digest)) == (400, "bad_digest")
    digest = {"Content-Digest": digest_field(b"y")}
    assert fault(operator.put("shop", "9.0.0", b"x", headers=digest)) == (400, "digest_mismatch")
    write_app(apps / "real" / "latest", {"app.py": APP})
    assert fault(operator.put("real", "9.0.0", b"x")) == (409, "latest_is_folder")
    assert fault(operator.rollback("nowhere")) == (404, "app_not_found")
    path = "/api/apps/shop/versions/9.0.0"
    without = operator.http.put(path, content=b"x", headers={"X-API-Key": ""})
    assert without.status_code == 401
    assert operator.http.get("/api/deploys/no-such").status_code == 404


def test_where_a_plugin_answers(operator: Operator) -> None:
    """An app is refused where a plugin has its path; not its previews, and not once it has gone."""
    answer = operator.put("keyval", "1.0.0", app("1"))
    assert fault(answer) == (409, "plugin_in_the_way")
    assert "the plugin keyval has the path /keyval" in answer.json()["error"]["message"]
    preview = operator.put("keyval", "0.0.0-preview.x", app("preview"))
    assert preview.status_code == 201
    opened = operator.http.get(preview.json()["url"], follow_redirects=True)
    assert opened.text.startswith("preview")
    assert operator.http.post("/api/plugins/keyval/disable").is_success
    try:
        assert operator.put("keyval", "1.0.0", app("1.0.0")).status_code == 201
        assert operator.said("/keyval/").startswith("1.0.0")
    finally:
        assert operator.http.post("/api/plugins/keyval/enable").is_success


def test_the_archive_again(operator: Operator, tmp_path: Path) -> None:
    """The archive has the files of the deploy, and can be deployed as another version."""
    archive = packed({"app.py": f"VERSION = 'x'\n{APP}", "a/b.txt": "b"}, ttl=600)
    assert operator.put("packed", "1.0.0", archive).status_code == 201
    operator.said("/packed/")
    path = "/api/apps/packed/versions/1.0.0/archive"
    answer = operator.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["a/b.txt", "app.py", "buntime.yaml"]
    assert operator.put("packed", "1.0.1", answer.content).status_code == 201
    assert operator.said("/packed/").split()[0] == "x"
    assert fault(operator.http.get(path.replace("1.0.0", "9.0.0"))) == (404, "version_not_found")


def test_all_versions_removed(operator: Operator, apps: Path) -> None:
    """The active version goes too; folders copied by hand stay."""
    for version in ("1.0.0", "1.1.0"):
        assert operator.put("gone", version, app(version)).status_code == 201
    write_app(apps / "gone" / "0.1.0", {"app.py": f"VERSION = 'hand'\n{APP}"}, ttl=600)
    dry = operator.http.delete("/api/apps/gone", params={"dryRun": 1})
    assert dry.json()["versions"] == ["1.0.0", "1.1.0"]
    assert operator.said("/gone/").split()[0] == "1.1.0"
    assert operator.http.delete("/api/apps/gone").status_code == 200
    assert operator.said("/gone/").split()[0] == "hand"
    assert names(apps, "gone") == ["0.1.0"]
    assert fault(operator.http.delete("/api/apps/gone")) == (404, "app_not_found")


def test_files_that_stay_behind(operator: Operator, apps: Path) -> None:
    """Files that an app has written into its folder are named when the next version comes."""
    assert operator.put("writes", "1.0.0", app("1")).status_code == 201
    operator.said("/writes/")
    (apps / "writes" / "1.0.0" / "shop.sqlite").touch()
    checked = operator.lines("writes", "1.1.0", app("2"))[2]
    assert "did not have: shop.sqlite;" in checked["warnings"][0]
    assert "warnings" not in operator.lines("writes", "1.2.0", app("3"))[2]


def test_a_form(operator: Operator) -> None:
    """As a browser sends a file: the archive is the form's only part."""
    path = "/api/apps/form/versions/1.0.0"
    archive = app("1")
    told = operator.http.put(path, files={"archive": ("shop.tar.gz", archive)})
    assert told.status_code == 201, told.text
    assert operator.said("/form/").split()[0] == "1"
    assert operator.put("form", "1.0.0", archive).json()["step"] == "unchanged"
    two = operator.http.put(path.replace("1.0.0", "2.0.0"), files={"a": b"", "b": archive})
    assert (two.status_code, two.json()["error"]["code"]) in (
        *((415, "archive_unknown"), (422, "archive_damaged"), (400, "bad_form")),
    )
    cut = operator.put(
        "form", "2.0.0", b"x", headers={"Content-Type": "multipart/form-data; boundary=a"}
    )
    assert fault(cut) == (400, "bad_form")


def test_what_is_tidied_stands_in_line(operator: Operator, apps: Path, tmp_path: Path) -> None:
    """A deploy waits while an earlier one's remains are removed, and the removal for the deploy."""
    assert operator.put("busy", "1.0.0", app("1")).status_code == 201
    for number in range(2000):  # so many that it takes longer than a deploy
        folder = tmp_path / "orphan" / str(number // 100)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).touch()
    orphan = apps / ".releases" / "busy" / "0.9.0-0123456789ab"
    (tmp_path / "orphan").rename(orphan)  # whole, since it is removed while it is there
    assert operator.put("busy", "1.0.1", app("1")).status_code == 201
    archive, answers = app("2"), set()

    def is_removed() -> bool:
        answer = operator.put("busy", "1.1.0", archive, dryRun=1)
        answers.add((answer.status_code, answer.text if answer.is_error else ""))
        return not orphan.exists()

    wait_until(is_removed)
    assert answers == {(200, "")}
