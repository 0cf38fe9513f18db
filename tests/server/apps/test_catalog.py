"""The catalog: which folders are apps, and how soon a change to them is seen."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from buntime.core.apps.app import App, Fault
from buntime.core.apps.succession import AtOnce, Rollout
from buntime.core.errors import ClientFault, ManifestError
from buntime.server.apps.catalog import CHECK_INTERVAL_S, Catalog
from tests.support.shortage import no_descriptors

FETCH = "def fetch(request): ...\n"


class Fixture:
    """Worker folders below `root`, their catalog, and a clock that a test moves."""

    def __init__(
        self,
        root: Path,
        *dirs: str,
        reserved: tuple[str, ...] = (),
        rollout: Rollout = AtOnce(),  # noqa: B008  # has no state
    ) -> None:
        self.root = root
        self.now = 1000.0
        self.warnings: list[tuple[str, dict[str, object]]] = []  # events
        self.messages: list[str] = []
        self.wall_ns = 0  # long ago, so no folder counts as unchanged, and all are read each time
        for name in dirs:
            (root / name).mkdir(exist_ok=True)
        self.catalog = Catalog(
            [root / name for name in dirs],
            body_default=1000,
            body_max=2000,
            warn=self.warn,
            reserved=reserved,
            rollout=rollout,
            wall_ns=lambda: self.wall_ns,
        )

    def warn(self, event: str, message: str, /, **fields: object) -> None:
        self.warnings.append((event, fields))
        self.messages.append(message)

    def write(self, path: str, text: str = FETCH) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def find(self, name: str, spec: str | None = None) -> App:
        return self.catalog.find(name, spec, self.now)

    def key(self, name: str, spec: str | None = None) -> str:
        return self.find(name, spec).key

    def later(self) -> None:
        self.now += CHECK_INTERVAL_S

    def keys(self) -> list[str]:
        return [found.key for found in self.catalog.all(self.now)]


@pytest.fixture
def apps(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path, "a", "b")


def missing(apps: Fixture, name: str, spec: str | None = None) -> str:
    with pytest.raises(ClientFault) as caught:
        apps.find(name, spec)
    assert (caught.value.status, caught.value.code) == (404, "app_not_found")
    return caught.value.message


def faulty(apps: Fixture, name: str, spec: str | None = None) -> str:
    with pytest.raises(ManifestError) as caught:
        apps.find(name, spec)
    return str(caught.value)


# Layouts


def test_plain_folder(apps: Fixture) -> None:
    """A folder with an entrypoint is an app of its name."""
    apps.write("a/shop/index.py")
    app = apps.find("shop")
    assert (app.key, app.name, app.version) == ("shop", "shop", None)
    assert (app.dir, app.entrypoint) == (apps.root / "a/shop", "index.py")
    assert not app.is_static


@pytest.mark.parametrize("layout", ["shop@1.2.0", "shop/1.2.0"])
def test_versioned_folder(apps: Fixture, layout: str) -> None:
    """`name@1.2.0/` and `name/1.2.0/` mean the same."""
    apps.write(f"a/{layout}/index.py")
    for spec in (None, "latest", "1", "1.2", "^1.0.0", "1.2.0"):
        app = apps.find("shop", spec)
        assert (app.key, app.version, app.dir) == ("shop@1.2.0", "1.2.0", apps.root / "a" / layout)


@pytest.mark.parametrize("layout", ["@acme/shop", "@acme/shop@1.0.0", "@acme/shop/1.0.0"])
def test_scoped_folder(apps: Fixture, layout: str) -> None:
    """All layouts work below a scope, too."""
    apps.write(f"a/{layout}/index.py")
    assert apps.find("@acme/shop").dir == apps.root / "a" / layout


def test_versions_of_all_layouts_and_folders_are_one_app(apps: Fixture) -> None:
    """Versions from all worker folders and layouts are compared together."""
    apps.write("a/shop@1.0.0/index.py")
    apps.write("a/shop/1.2.0/index.py")
    apps.write("b/shop@2.0.0/index.py")
    apps.write("b/shop@3.0.0-rc.1/index.py")
    assert apps.key("shop") == "shop@2.0.0"
    assert apps.key("shop", "^1.0.0") == "shop@1.2.0"
    assert apps.key("shop", "1.0.0") == "shop@1.0.0"
    assert apps.key("shop", "3.0.0-rc.1") == "shop@3.0.0-rc.1"


def test_latest_folder_is_the_default(apps: Fixture) -> None:
    """`name/latest` takes precedence over the highest version."""
    apps.write("a/shop/latest/index.py")
    apps.write("a/shop/2.0.0/index.py")
    assert apps.key("shop") == "shop@latest"
    assert apps.key("shop", "*") == "shop@2.0.0"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("shop/latest", "1.0.0"),
        ("shop/latest", "./1.0.0/"),
        ("shop/latest", "../shop/1.0.0"),
        ("shop/latest", "{root}/a/shop/1.0.0"),
        ("shop@latest", "shop@1.0.0"),
        ("@acme/shop/latest", "1.0.0"),
        ("@acme/shop@latest", "shop@1.0.0"),
    ],
)
def test_a_latest_link_is_another_name(apps: Fixture, link: str, target: str) -> None:
    """A link to a version beside it means that version: one app serves both."""
    name = link.removesuffix("/latest").removesuffix("@latest")
    for version in ("1.0.0", "2.0.0"):
        apps.write(f"a/{link.removesuffix('latest')}{version}/index.py")
    (apps.root / "a" / link).symlink_to(target.format(root=apps.root))
    assert apps.find(name) is apps.find(name, "latest") is apps.find(name, "1.0.0")
    assert apps.key(name, "*") == f"{name}@2.0.0"
    assert apps.keys() == [f"{name}@1.0.0", f"{name}@2.0.0"]


@pytest.mark.parametrize("target", ["../other/1.0.0", "elsewhere", "../../b/shop/1.0.0", "1.0.0/x"])
def test_a_latest_link_to_elsewhere_is_a_version(apps: Fixture, target: str) -> None:
    """Only a link to a version beside it is an alias; any other link is itself the version
    latest."""
    for folder in (
        "a/shop/1.0.0",
        "a/shop/elsewhere",
        "a/shop/1.0.0/x",
        "a/other/1.0.0",
        "b/shop/1.0.0",
    ):
        apps.write(f"{folder}/index.py")
    (apps.root / "a/shop/latest").symlink_to(target)
    assert apps.key("shop") == "shop@latest"


def test_a_latest_link_to_nothing(apps: Fixture) -> None:
    """If `latest` points to a missing version, the highest one serves."""
    apps.write("a/shop/1.0.0/index.py")
    (apps.root / "a/shop/latest").symlink_to("2.0.0")
    assert apps.key("shop") == "shop@1.0.0"


def test_the_first_latest_counts(apps: Fixture) -> None:
    """Of two links in two worker folders, the first decides which version is active."""
    for folder in ("a/shop/1.0.0", "b/shop/2.0.0"):
        apps.write(f"{folder}/index.py")
    (apps.root / "a/shop/latest").symlink_to("1.0.0")
    (apps.root / "b/shop/latest").symlink_to("2.0.0")
    assert apps.key("shop") == "shop@1.0.0"
    assert "folder.duplicate" in {event for event, _ in apps.warnings}


def test_a_moved_latest_link(apps: Fixture) -> None:
    """A moved link is followed at the next check."""
    for version in ("1.0.0", "2.0.0"):
        apps.write(f"a/shop/{version}/index.py")
    (apps.root / "a/shop/latest").symlink_to("1.0.0")
    assert apps.key("shop") == "shop@1.0.0"
    assert apps.catalog.is_active(apps.find("shop"), apps.now)
    (apps.root / "a/shop/new").symlink_to("2.0.0")
    (apps.root / "a/shop/new").replace(apps.root / "a/shop/latest")
    before = apps.find("shop")
    apps.later()
    assert apps.key("shop") == "shop@2.0.0"
    assert not apps.catalog.is_active(before, apps.now)


def test_withheld_versions(apps: Fixture) -> None:
    """A version that was rolled back is found by its full number only; folders of releases are
    never found."""
    release = "a/.releases/shop/3.0.0-0123456789ab"
    for folder in ("a/shop/1.0.0", "a/shop/2.0.0", release):
        apps.write(f"{folder}/index.py")
    (apps.root / "a/shop/3.0.0").symlink_to(f"../../{release}")
    assert apps.keys() == ["shop@1.0.0", "shop@2.0.0", "shop@3.0.0"]
    assert apps.key("shop") == apps.key("shop", "*") == "shop@3.0.0"
    (apps.root / "a/.releases/shop/withheld").write_text("3.0.0\n9.0.0\n", "utf-8")
    apps.later()
    assert apps.key("shop") == apps.key("shop", ">=1") == "shop@2.0.0"
    assert apps.key("shop", "3.0.0") == "shop@3.0.0"
    missing(apps, "shop", "^3.0.0")


def test_unversioned_folder_is_the_default(apps: Fixture) -> None:
    """A folder without a version takes precedence over versions beside it, which can still be
    pinned."""
    apps.write("a/shop/index.py")
    apps.write("a/shop@1.0.0/index.py")
    assert apps.key("shop") == "shop"
    assert apps.key("shop", "latest") == "shop"
    assert apps.key("shop", "1") == "shop@1.0.0"


def test_what_is_below_an_app_is_its_own(apps: Fixture) -> None:
    """A folder inside an app that is named like a version is no way around the app's manifest."""
    apps.write("a/docs/index.html", "")
    apps.write("a/docs/buntime.yaml", "visibility: protected")
    apps.write("a/docs/1.0.0/index.html", "")
    apps.write("a/docs/latest/index.html", "")
    assert apps.keys() == ["docs"]
    missing(apps, "docs", "1.0.0")


def test_an_empty_folder_hides_no_version(apps: Fixture) -> None:
    """An empty folder does not hide versions beside it."""
    (apps.root / "a/shop/data").mkdir(parents=True)
    apps.write("b/shop/index.py")
    assert apps.find("shop").dir == apps.root / "b/shop"


def test_unknown(apps: Fixture) -> None:
    """Unknown names, unknown versions and invalid ranges are 404, all with the same message."""
    apps.write("a/shop@1.0.0/index.py")
    assert missing(apps, "ship") == "there is no app /ship"
    assert missing(apps, "ship", "1") == "there is no app /ship@1"
    assert missing(apps, "shop", "2") == "there is no app /shop@2"
    assert missing(apps, "shop", "beta") == "there is no app /shop@beta"


def test_links_to_apps(apps: Fixture) -> None:
    """A linked folder is an app, and runs where the link points."""
    apps.write("elsewhere/release-7/index.py")
    (apps.root / "a/shop").symlink_to("../elsewhere/release-7")
    assert apps.find("shop").dir == apps.root / "elsewhere/release-7"


def test_files_and_dotfolders_are_passed_by(apps: Fixture) -> None:
    """Files, dotfolders and leftovers of tools are not apps, and cause no warning."""
    apps.write("a/readme.py")
    apps.write("a/.git/config")
    apps.write("a/__pycache__/app.py")
    apps.write("a/node_modules/x/index.html")
    apps.write("a/shop/.venv/bin/python")
    apps.write("a/shop/index.py")
    assert apps.keys() == ["shop"]
    assert apps.warnings == []


# Warnings


def test_the_first_of_two_is_served(apps: Fixture) -> None:
    """Of two folders with the same name and version the first serves, and one warning names
    both."""
    apps.write("a/shop@1.0.0/index.py")
    apps.write("b/shop/1.0.0/index.py")
    for _ in range(3):
        assert apps.find("shop").dir == apps.root / "a/shop@1.0.0"
        apps.later()
    [(event, fields)] = apps.warnings
    assert event == "folder.duplicate"
    assert fields == {
        "app": "shop@1.0.0",
        "served": str(apps.root / "a/shop@1.0.0"),
        "ignored": str(apps.root / "b/shop/1.0.0"),
    }


@pytest.mark.parametrize(
    "folder",
    [
        *("my shop", "sh\u00f6p", "shop@1.2", "shop@v1.0.0", "shop@", "@acme/my shop", "@acme/a@b"),
        *("@a b/shop", "shop@1.0.0@2", "a" * 201),
    ],
)
def test_what_cannot_be_routed(apps: Fixture, folder: str) -> None:
    """A folder that no request can name is skipped, with one warning."""
    apps.write(f"a/{folder}/index.py")
    for _ in range(2):
        assert apps.keys() == []
        apps.later()
    [(event, fields)] = apps.warnings
    assert event in ("folder.unroutable", "folder.bad_version")
    assert fields == {"folder": str(apps.root / "a" / folder)}


def test_a_name_in_no_encoding(apps: Fixture) -> None:
    """A name that is not UTF-8 is skipped, and the warning spells it so that any log can write
    it."""
    os.mkdir(os.fsencode(apps.root) + b"/a/sh\xffp")
    assert apps.keys() == []
    [(_, fields)] = apps.warnings
    assert str(fields["folder"]).endswith(r"/sh\udcffp")


def test_reserved_names(tmp_path: Path) -> None:
    """An app with a name that the runtime keeps for itself is skipped, with a warning."""
    apps = Fixture(tmp_path, "a", reserved=("api",))
    apps.write("a/api/index.py")
    assert apps.keys() == []
    [(event, _)] = apps.warnings
    assert event == "folder.reserved"


def test_a_worker_folder_that_is_an_app(apps: Fixture) -> None:
    """A worker folder that is itself an app causes a warning."""
    apps.write("a/app.py")
    apps.write("a/templates/page.html")
    apps.keys()
    [(event, fields)] = apps.warnings
    assert event == "folder.is_app"
    assert fields == {"folder": str(apps.root / "a")}


def test_a_folder_that_begins_with_a_dot(apps: Fixture) -> None:
    """An app in a dotfolder is skipped with one warning; what tools leave in such folders causes
    none."""
    apps.write("a/.shop/app.py")
    apps.write("a/.git/config")
    apps.write("a/blog/app.py")
    for _ in range(2):
        assert apps.keys() == ["blog"]
        apps.later()
    assert apps.warnings == [("folder.hidden", {"folder": str(apps.root / "a/.shop")})]
    assert "begins with a dot; rename it" in apps.messages[0]


def test_two_manifests(apps: Fixture) -> None:
    """The manifest that is ignored is reported, even if it appears later."""
    apps.write("a/shop/app.py")
    apps.write("a/shop/buntime.yaml", "ttl: 60")
    apps.keys()
    assert apps.warnings == []
    apps.write("a/shop/manifest.yml", "ttl: 70")
    for _ in range(2):
        apps.later()
        assert apps.find("shop").manifest.ttl_s == 60
    [(event, fields)] = apps.warnings
    file = f"{apps.root}/a/shop/manifest.yml"
    assert (event, fields) == ("manifest.second", {"app": "shop", "file": file})


def test_a_missing_worker_folder(apps: Fixture) -> None:
    """A missing worker folder is reported once; the others are served, and it may appear later."""
    shutil.rmtree(apps.root / "a")
    apps.write("b/shop/index.py")
    assert apps.keys() == ["shop"]
    apps.later()
    assert apps.keys() == ["shop"]
    [(event, fields)] = apps.warnings
    assert event == "folder.unreadable"
    assert fields == {"folder": str(apps.root / "a"), "error": "No such file or directory"}
    apps.write("a/cart/index.py")
    apps.later()
    assert apps.keys() == ["cart", "shop"]


def test_warnings_of_manifests(apps: Fixture) -> None:
    """Warnings of the manifest's reader are passed on, once for each text."""
    apps.write("a/shop/index.py")
    apps.write("a/shop/buntime.yaml", "maxBodySize: 3000")
    for _ in range(3):
        assert apps.find("shop").manifest.max_body_size_bytes == 2000
        apps.later()
    [(event, fields)] = apps.warnings
    assert event == "manifest.warning"
    assert "maxBodySize" in apps.messages[0]
    assert fields == {"app": "shop"}


# Entrypoints and manifests


@pytest.mark.parametrize(
    "manifest", ["buntime.yaml", "buntime.yml", "manifest.yaml", "manifest.yml"]
)
def test_manifest_names(apps: Fixture, manifest: str) -> None:
    """A manifest is found under each of its names, and is the source of messages."""
    apps.write("a/shop/index.py")
    file = apps.write(f"a/shop/{manifest}", "timeout: 7")
    app = apps.find("shop")
    assert (app.manifest.timeout_s, app.source) == (7, file)


def test_without_a_manifest(apps: Fixture) -> None:
    """Without a manifest the defaults apply, and messages name the folder."""
    apps.write("a/shop/index.py")
    app = apps.find("shop")
    assert (app.manifest.max_body_size_bytes, app.source) == (1000, apps.root / "a/shop")


def test_default_entrypoints(apps: Fixture) -> None:
    """The default entrypoints are tried in order."""
    names = ["asgi.py", "wsgi.py", "main.py", "app.py", "index.py"]
    for name in names:
        apps.write(f"a/shop/{name}")
        apps.later()
        assert apps.find("shop").entrypoint == name
    for name in names:
        (apps.root / "a/shop" / name).unlink()
    apps.write("a/shop/index.html")
    apps.later()
    assert apps.find("shop").entrypoint == "index.html"
    assert apps.find("shop").is_static


@pytest.mark.parametrize("name", ["index.py", "app.py", "main.py", "wsgi.py", "asgi.py"])
def test_a_page_beside_a_program(apps: Fixture, name: str) -> None:
    """A folder that could be a site or a program is neither until its manifest says which it is."""
    apps.write("a/shop/index.html")
    apps.write(f"a/shop/{name}")
    assert faulty(apps, "shop").startswith(
        f"{apps.root}/a/shop: both index.html and {name} are here, and a site shows all files of "
        f"its folder; say `entrypoint: {name}` or `entrypoint: index.html` in buntime.yaml"
    )
    for chosen in ("index.html", name):
        apps.write("a/shop/buntime.yaml", f"entrypoint: {chosen}")
        apps.later()
        assert apps.find("shop").entrypoint == chosen


def test_the_manifests_entrypoint(apps: Fixture) -> None:
    """The manifest's entrypoint takes precedence over the default ones, and may be in a
    subfolder."""
    apps.write("a/shop/index.py")
    apps.write("a/shop/dist/start.html")
    apps.write("a/shop/buntime.yaml", "entrypoint: ./dist/start.html")
    assert apps.find("shop").entrypoint == "dist/start.html"


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("run.py:server", "run.py"),
        ("run:create_app()", "run.py"),
        ("shop.wsgi:application", "src/shop/wsgi.py"),
        ("shop:app", "src/shop/__init__.py"),
    ],
)
def test_what_of_an_entrypoint_is_served(apps: Fixture, written: str, file: str) -> None:
    """An entrypoint may name an object as gunicorn and uvicorn do, in a file or in a module."""
    for name in ("run.py", "src/shop/wsgi.py", "src/shop/__init__.py"):
        apps.write(f"a/shop/{name}")
    apps.write("a/shop/buntime.yaml", f"entrypoint: {written}\npath: [src]")
    app = apps.find("shop")
    assert (app.entrypoint, app.serves) == (file, written.partition(":")[2])
    assert app.import_roots == ("src",)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("flask:app", "is not in {root}/a/shop; looked for flask.py, flask/__init__.py; correct"),
        ("gone.py:app", "entrypoint 'gone.py:app' is not a file in"),
        ("index.html:app", "only a Python file has names to choose from; name the page alone"),
    ],
)
def test_what_of_no_entrypoint_is_served(apps: Fixture, written: str, message: str) -> None:
    """An entrypoint that cannot be found is an error that lists the files that were tried."""
    apps.write("a/shop/index.html")
    apps.write("a/shop/buntime.yaml", f"entrypoint: {written}")
    with pytest.raises(ManifestError) as caught:
        apps.find("shop")
    assert message.format(root=apps.root) in str(caught.value)


def test_no_entrypoint(apps: Fixture) -> None:
    """An app without an entrypoint gets an error that says what was looked for, and where."""
    apps.write("a/shop/buntime.yaml", "timeout: 7")
    assert faulty(apps, "shop") == (
        f"{apps.root}/a/shop: no entrypoint; looked for index.html, index.py, app.py, main.py, "
        "wsgi.py, asgi.py; add one of them, or name another file as `entrypoint` in buntime.yaml"
    )


@pytest.mark.parametrize(
    ("files", "entrypoint"),
    [
        (["server.py", "manage.py"], "server.py"),
        (["manage.py", "site/settings.py", "site/wsgi.py"], "site/wsgi.py"),
        (["config.py", "site/asgi.py"], "site/asgi.py"),
        (["gunicorn.conf.py", "app/__init__.py", "app/main.py"], "app/main.py"),
        (["package.json", "public/index.html", "build/index.html"], "build/index.html"),
        (["run.py", "public/index.html"], "run.py"),
    ],
)
def test_what_may_have_been_meant(apps: Fixture, files: list[str], entrypoint: str) -> None:
    """The error suggests what is like an app: not the tools beside it, and one folder deep."""
    for file in files:
        apps.write(f"a/shop/{file}")
    assert faulty(apps, "shop").endswith(f", such as `entrypoint: {entrypoint}`")


@pytest.mark.parametrize("folder", ["v1", "2.0", "2"])
def test_what_may_have_been_meant_as_a_version(apps: Fixture, folder: str) -> None:
    """A folder that is called like a version, but is none, is no app's: the error says so."""
    apps.write(f"a/shop/{folder}/index.html")
    assert faulty(apps, "shop").endswith(
        f"; {folder} is not a folder of a version, whose name is like 1.2.0: rename it"
    )


def test_an_odd_version_beside_good_ones(apps: Fixture) -> None:
    """It is skipped, with one warning; folders of another kind are nobody's concern."""
    for folder in ("1.0.0", "v2", "assets"):
        apps.write(f"a/shop/{folder}/index.html")
    apps.write("a/shop/2024/photo.txt")
    for _ in range(2):
        assert apps.keys() == ["shop@1.0.0"]
        apps.later()
    assert apps.warnings == [("folder.bad_version", {"folder": str(apps.root / "a/shop/v2")})]


@pytest.mark.parametrize(
    "file",
    ["manage.py", "test_shop.py", "app.py/x.txt", ".venv/app.py", "tests/app.py", "a/b/app.py"],
)
def test_what_cannot_have_been_meant(apps: Fixture, file: str) -> None:
    """Nothing is suggested that would not be an app either."""
    apps.write(f"a/shop/{file}")
    assert faulty(apps, "shop").endswith(" as `entrypoint` in buntime.yaml")


def test_suggestions_follow_no_links(apps: Fixture) -> None:
    """An app in a folder that a link leads to could not be served."""
    apps.write("elsewhere/wsgi.py")
    apps.write("a/shop/x.txt")
    (apps.root / "a/shop/site").symlink_to(apps.root / "elsewhere")
    assert "such as" not in faulty(apps, "shop")


@pytest.mark.parametrize("written", ["app.main", "app"])
def test_a_module_without_its_app(apps: Fixture, written: str) -> None:
    """The name of a module alone is no file; the error says how modules are written."""
    apps.write("a/shop/app/__init__.py")
    apps.write("a/shop/app/main.py")
    apps.write("a/shop/buntime.yaml", f"entrypoint: {written}")
    assert faulty(apps, "shop").endswith(f"such as `entrypoint: {written}:app`")


def test_empty_folder(apps: Fixture) -> None:
    """An empty folder gets the same error: it may be meant as an app."""
    apps.write("a/shop/server.py")
    assert "no entrypoint; looked for index.html" in faulty(apps, "shop")


@pytest.mark.parametrize("entrypoint", ["gone.py", "lib", "loop.py", "dangling.py"])
def test_the_manifests_entrypoint_is_no_file(apps: Fixture, entrypoint: str) -> None:
    """An entrypoint that is not a regular file is an error that names it."""
    apps.write("a/shop/lib/x.py")
    (apps.root / "a/shop/loop.py").symlink_to("loop.py")
    (apps.root / "a/shop/dangling.py").symlink_to("nowhere.py")
    apps.write("a/shop/buntime.yaml", f"entrypoint: {entrypoint}")
    assert f"entrypoint '{entrypoint}' is not a file" in faulty(apps, "shop")


@pytest.mark.parametrize("target", ["/etc/hostname", "../other/index.py", "../../secret.py"])
def test_an_entrypoint_outside(apps: Fixture, target: str) -> None:
    """An entrypoint must not point outside the app's folder, whether named or default."""
    apps.write("a/other/index.py")
    apps.write("secret.py")
    folder = apps.write("a/shop/x.txt").parent
    (folder / "index.py").symlink_to(target)
    assert "is outside of" in faulty(apps, "shop")


def test_a_folder_beside_is_outside(apps: Fixture) -> None:
    """A folder whose name begins with the app's is not inside it."""
    apps.write("a/shop-secrets/index.py")
    (apps.root / "a/shop").mkdir()
    (apps.root / "a/shop/index.py").symlink_to("../shop-secrets/index.py")
    assert "is outside of" in faulty(apps, "shop")


def test_an_entrypoint_linked_inside(apps: Fixture) -> None:
    """A link that stays in the folder is accepted: mounted ConfigMaps look like this."""
    apps.write("a/shop/..data/index.py")
    (apps.root / "a/shop/index.py").symlink_to("..data/index.py")
    assert apps.find("shop").entrypoint == "index.py"


@pytest.mark.parametrize("entrypoint", ["app.js", "app", "app.py.txt"])
def test_an_entrypoint_of_another_kind(apps: Fixture, entrypoint: str) -> None:
    """An entrypoint is Python or HTML."""
    apps.write(f"a/shop/{entrypoint}")
    apps.write("a/shop/buntime.yaml", f"entrypoint: {entrypoint}")
    assert "neither Python nor HTML" in faulty(apps, "shop")


def test_a_faulty_manifest(apps: Fixture) -> None:
    """A faulty manifest is reported with its path, and affects no other version."""
    file = apps.write("a/shop@2.0.0/buntime.yaml", "timeout: soon")
    apps.write("a/shop@2.0.0/index.py")
    apps.write("a/shop@1.0.0/index.py")
    for _ in range(2):
        assert faulty(apps, "shop").startswith(f"{file}:1: timeout")
        assert apps.key("shop", "1") == "shop@1.0.0"
        apps.later()


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link"])
def test_a_manifest_that_is_no_file(apps: Fixture, kind: str) -> None:
    """A manifest that is not a file is a fault, and reading it never blocks."""
    apps.write("a/shop/index.py")
    path = apps.root / "a/shop/buntime.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    if kind == "dangling link":
        assert apps.key("shop") == "shop"  # as if it did not exist
    else:
        assert faulty(apps, "shop").startswith(f"{path}: cannot be read: ")


def test_a_huge_manifest(apps: Fixture) -> None:
    """A file too large for a manifest is a fault, whatever it contains."""
    apps.write("a/shop/index.py")
    apps.write("a/shop/buntime.yaml", "# " + "x" * 1_000_000)
    assert "larger than" in faulty(apps, "shop")


@contextmanager
def without_privilege() -> Iterator[Path]:
    """A folder to test permissions in, as a user whom they restrict."""
    folder = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("locked", "error"),
    [
        ("a/shop", "a/shop/buntime.yaml: cannot be read: Permission denied"),
        ("a/shop/buntime.yaml", "a/shop/buntime.yaml: cannot be read: Permission denied"),
    ],
)
def test_no_permission_for_an_app(locked: str, error: str) -> None:
    """An unreadable file is a fault of that app only, and the message says who must be able to read
    it."""
    with without_privilege() as root:
        apps = Fixture(root, "a")
        apps.write("a/shop/index.py")
        apps.write("a/shop/buntime.yaml", "")
        apps.write("a/cart/index.py")
        (root / locked).chmod(0)
        advice = "let the runtime's user read the app's folder"
        assert faulty(apps, "shop") == f"{root}/{error}; {advice}"
        assert apps.key("cart") == "cart"
        (root / locked).chmod(0o700)
        apps.later()
        assert apps.key("shop") == "shop"


def test_no_permission_for_a_worker_folder() -> None:
    """An unreadable worker folder is reported, and the others are served."""
    with without_privilege() as root:
        apps = Fixture(root, "a", "b")
        apps.write("a/shop/index.py")
        apps.write("b/cart/index.py")
        (root / "a").chmod(0)
        assert apps.keys() == ["cart"]
        [(_, fields)] = apps.warnings
        assert fields == {"folder": str(root / "a"), "error": "Permission denied"}


# Changes


def test_new_folders_appear(apps: Fixture) -> None:
    """New apps and versions are served after the next check, in every layout."""
    missing(apps, "shop")
    for path, key in {
        "a/shop@1.0.0": "shop@1.0.0",
        "b/shop/1.1.0": "shop@1.1.0",
        "b/shop/1.2.0": "shop@1.2.0",
        "a/shop@latest": "shop@latest",
    }.items():
        apps.write(f"{path}/index.py")
        apps.later()
        assert apps.key("shop") == key
    apps.write("b/@acme/shop/index.py")
    apps.later()
    assert apps.key("@acme/shop") == "@acme/shop"
    apps.write("b/@acme/cart/index.py")
    apps.later()
    assert apps.key("@acme/cart") == "@acme/cart"


def test_removed_folders_disappear(apps: Fixture) -> None:
    """Removed versions are not found after the next check; the next best one is."""
    for path in ("a/shop/1.0.0", "a/shop@2.0.0", "b/shop@3.0.0", "b/@acme/shop"):
        apps.write(f"{path}/index.py")
    assert apps.keys() == ["@acme/shop", "shop@1.0.0", "shop@2.0.0", "shop@3.0.0"]
    for path, key in {"b/shop@3.0.0": "shop@2.0.0", "a/shop@2.0.0": "shop@1.0.0"}.items():
        shutil.rmtree(apps.root / path)
        apps.later()
        assert apps.key("shop") == key
    shutil.rmtree(apps.root / "a/shop")
    shutil.rmtree(apps.root / "b/@acme")
    apps.later()
    missing(apps, "shop")
    missing(apps, "@acme/shop")
    assert apps.keys() == []
    assert apps.warnings == []


def test_which_folders_there_are(apps: Fixture) -> None:
    """A version is held while its folder exists, even if it is faulty, and the question loads
    nothing."""
    apps.write("a/shop@1.0.0/index.py")
    apps.write("a/cart/buntime.yaml", "ttl: no time")
    loaded: list[object] = []
    apps.catalog._load = loaded.append  # type: ignore[assignment,method-assign]  # must not be called

    def held(*asked: tuple[str, str | None]) -> list[bool]:
        return [apps.catalog.holds(name, version, apps.now) for name, version in asked]

    asked = (("shop", "1.0.0"), ("shop", "1.0.1"), ("shop", None), ("cart", None), ("none", None))
    assert held(*asked) == [True, False, False, True, False]
    shutil.rmtree(apps.root / "a/shop@1.0.0")
    apps.later()
    assert held(*asked) == [False, False, False, True, False]
    assert loaded == []


def test_a_removed_duplicate_gives_way(apps: Fixture) -> None:
    """When the first of two folders is removed, the second serves."""
    apps.write("elsewhere/index.py")
    (apps.root / "a/shop").symlink_to("../elsewhere")
    apps.write("b/shop/index.py")
    assert apps.find("shop").dir == apps.root / "elsewhere"
    apps.wall_ns = 2**62  # the folder with the link counts as unchanged, and is not read again
    apps.later()
    assert apps.find("shop").dir == apps.root / "elsewhere"
    shutil.rmtree(apps.root / "elsewhere")
    apps.later()
    assert apps.find("shop").dir == apps.root / "b/shop"


def test_a_dangling_link_comes_true(apps: Fixture) -> None:
    """A link becomes an app as soon as its target exists."""
    apps.wall_ns = 2**62
    (apps.root / "a/shop").symlink_to("../elsewhere")
    missing(apps, "shop")
    apps.write("elsewhere/index.py")
    apps.later()
    assert apps.key("shop") == "shop"


def test_a_turned_link(apps: Fixture) -> None:
    """A link switched to another release makes another app, even behind a second link."""
    apps.write("elsewhere/1/index.py")
    apps.write("elsewhere/2/index.py")
    current = apps.root / "elsewhere/current"
    current.symlink_to("1")
    (apps.root / "a/shop").symlink_to("../elsewhere/current")
    apps.wall_ns = 2**62
    first = apps.find("shop")
    current.unlink()
    current.symlink_to("2")
    apps.later()
    second = apps.find("shop")
    assert [first.dir.name, second.dir.name] == ["1", "2"]


def test_a_changed_manifest(apps: Fixture) -> None:
    """A changed manifest makes another app, even if its time and size are the same."""
    apps.write("a/shop/index.py")
    file = apps.write("a/shop/buntime.yaml", "timeout: 7")
    before = file.stat()
    first = apps.find("shop")
    file.write_text("timeout: 8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert apps.find("shop") is first
    apps.later()
    assert apps.find("shop").manifest.timeout_s == 8
    file.write_text("timeout: soon")
    apps.later()
    faulty(apps, "shop")
    file.unlink()
    apps.later()
    assert apps.find("shop").manifest.timeout_s == 30


def test_nothing_changed(apps: Fixture) -> None:
    """While nothing changes the app stays the same object, whatever happens beside it."""
    apps.write("a/shop@1.0.0/index.py")
    apps.write("a/shop@1.0.0/buntime.yaml", "timeout: 7")
    apps.write("a/cart/index.py")
    first, cart = apps.find("shop", "1.0.0"), apps.find("cart")
    apps.write("a/shop@1.0.0/lib/more.py")
    apps.write("b/shop/1.1.0/index.py")
    apps.write("b/other/index.py")
    apps.later()
    assert apps.key("shop") == "shop@1.1.0"
    assert apps.find("shop", "1.0.0") is first
    assert apps.find("cart") is cart


def test_a_fault_mends(apps: Fixture) -> None:
    """A folder that is copied in piece by piece is served once it is complete."""
    apps.write("a/shop/lib/x.py")
    faulty(apps, "shop")
    apps.write("a/shop/index.py")
    apps.later()
    assert apps.key("shop") == "shop"


def test_changes_are_seen_at_the_next_check(apps: Fixture) -> None:
    """Between two checks the catalog answers from memory, up to the last second."""
    missing(apps, "shop")
    apps.write("a/shop/index.py")
    apps.now += CHECK_INTERVAL_S * 0.99
    missing(apps, "shop")
    apps.now += CHECK_INTERVAL_S * 0.01
    assert apps.key("shop") == "shop"


def test_two_changes_in_one_tick(apps: Fixture) -> None:
    """A change that leaves the folder's time as it was is seen if the folder has just changed."""
    apps.write("a/shop/index.py")
    state = (apps.root / "a").stat()
    apps.wall_ns = state.st_mtime_ns + 1_000_000  # the first check comes a millisecond later
    assert apps.keys() == ["shop"]
    apps.write("a/cart/index.py")
    os.utime(apps.root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    apps.later()
    assert apps.keys() == ["cart", "shop"]


def test_a_folder_that_rested_is_not_read_again(apps: Fixture) -> None:
    """A listing is trusted while the folder's time says that nothing has changed."""
    apps.write("a/shop/index.py")
    state = (apps.root / "a").stat()
    apps.wall_ns = state.st_mtime_ns + 10_000_000_000
    assert apps.keys() == ["shop"]
    apps.write("a/cart/index.py")
    os.utime(apps.root / "a", ns=(state.st_atime_ns, state.st_mtime_ns))
    apps.later()
    assert apps.keys() == ["shop"]  # something that only a test does to a folder
    os.utime(apps.root / "a")
    apps.later()
    assert apps.keys() == ["cart", "shop"]


def test_a_folder_vanishes_while_it_is_looked_at(apps: Fixture) -> None:
    """A version that disappears between listing and reading is passed over for the next best
    one."""
    apps.write("a/shop/1.0.0/index.py")
    apps.write("a/shop/2.0.0/index.py")
    apps.write("b/cart/index.py")
    apps.key("cart")  # the folders are listed ...
    apps.catalog._versions("shop", apps.catalog._names["shop"])  # ... and the versions ...
    shutil.rmtree(apps.root / "a/shop/2.0.0")  # ... but no version was looked into
    assert apps.key("shop") == "shop@1.0.0"
    shutil.rmtree(apps.root / "a/shop/1.0.0")
    apps.later()
    missing(apps, "shop", "1")


# Cost


def system_calls(action: object) -> list[str]:
    """The calls to the os module and to files that `action` makes."""
    called: list[str] = []

    def on_event(frame: FrameType, event: str, arg: object) -> None:
        is_ours = getattr(arg, "__module__", None) in ("posix", "_io", "io")
        if event == "c_call" and is_ours and arg is not os.fspath:  # fspath makes no system call
            called.append(getattr(arg, "__qualname__", repr(arg)))

    assert callable(action)
    sys.setprofile(on_event)
    try:
        action()
    finally:
        sys.setprofile(None)
    return called


def test_a_warm_find_touches_no_disk(apps: Fixture) -> None:
    """Within a second of the last check nothing calls the system, for apps, faults or misses."""
    apps.write("a/shop@1.0.0/index.py")
    apps.write("a/shop@1.0.0/buntime.yaml", "timeout: 7")
    apps.write("a/broken/buntime.yaml", "timeout: soon")

    def look() -> None:
        for name, spec in (("shop", None), ("shop", "^1"), ("shop", "9"), ("nothing", None)):
            try:
                apps.find(name, spec)
            except ClientFault:
                pass
        faulty(apps, "broken")

    assert system_calls(look) != []  # shows that the counting works
    assert system_calls(look) == []
    apps.now += CHECK_INTERVAL_S * 0.99
    assert system_calls(look) == []
    apps.later()
    assert system_calls(look) != []


def test_a_check_costs_what_is_asked_for(apps: Fixture) -> None:
    """A check of one app does not read the others."""
    apps.wall_ns = 2**62
    apps.write("a/shop/index.py")
    apps.keys()
    apps.later()
    alone = system_calls(lambda: apps.find("shop"))
    for number in range(50):
        apps.write(f"a/shop{number}/index.py")
    apps.later()
    assert len(apps.keys()) == 51
    apps.later()
    assert system_calls(lambda: apps.find("shop")) == alone


def test_memory_is_bounded(apps: Fixture) -> None:
    """A client that asks for ever new ranges cannot fill the memory."""
    apps.write("a/shop@1.0.0/index.py")
    for number in range(5000):
        apps.find("shop", f"<={number + 1}")
    assert len(apps.catalog._warm) <= 4096
    apps.later()
    apps.find("shop")
    assert len(apps.catalog._warm) == 1


def test_faults_raise_anew(apps: Fixture) -> None:
    """Each request gets a new error object: one raised again and again would grow its traceback."""
    apps.write("a/broken/buntime.yaml", "timeout: soon")
    errors = []
    for _ in range(2):
        with pytest.raises(ManifestError) as caught:
            apps.find("broken")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


def test_all_lists_apps_and_faults(apps: Fixture) -> None:
    """All versions are listed by name and precedence, and faulty ones as faults."""
    for version in ("10.0.0", "9.0.0", "9.0.0-rc.1"):
        apps.write(f"a/shop@{version}/index.py")
    apps.write("a/cart/buntime.yaml", "timeout: soon")
    found = apps.catalog.all(apps.now)
    assert [entry.key for entry in found] == [
        "cart",
        "shop@9.0.0-rc.1",
        "shop@9.0.0",
        "shop@10.0.0",
    ]
    assert isinstance(found[0], Fault)
    assert found[0].folder == apps.root / "a/cart"
    assert "timeout" in found[0].error
    assert found[3] is apps.find("shop")


def test_repr(apps: Fixture) -> None:
    """The repr shows the folders and how much was found in them."""
    apps.write("a/shop/index.py")
    apps.keys()
    assert repr(apps.catalog) == f"Catalog(['{apps.root}/a', '{apps.root}/b'], 1 names)"


# Changes that have to be loaded before they serve


class Cautious:
    """A rollout that always prefers what has been loaded."""

    def __init__(self) -> None:
        self.revision = 0
        self.loaded: list[App] = []
        self.asked: list[tuple[App, App]] = []

    def load(self, app: App) -> None:
        self.loaded.append(app)
        self.revision += 1

    def is_proven(self, app: App) -> bool:
        return app in self.loaded

    def choose(self, new: App, proven: App) -> App:
        self.asked.append((new, proven))
        return proven


@pytest.fixture
def cautious() -> Cautious:
    return Cautious()


@pytest.fixture
def tried(tmp_path: Path, cautious: Cautious) -> Fixture:
    return Fixture(tmp_path, "a", rollout=cautious)


def test_the_first_app_of_a_name_serves_unproven(tried: Fixture, cautious: Cautious) -> None:
    """The first app of a name serves without having been loaded: nothing else could."""
    tried.write("a/shop/app.py")
    assert tried.key("shop") == "shop"
    assert cautious.asked == []


@pytest.mark.parametrize("changed", ["a/shop@2.0.0/app.py", "a/shop@1.0.0/buntime.yaml"])
def test_a_change_is_weighed_against_what_was_loaded(
    tried: Fixture, cautious: Cautious, changed: str
) -> None:
    """A change is compared with what was loaded, even if there was no request between the first
    boot and the change."""
    tried.write("a/shop@1.0.0/app.py")
    first = tried.find("shop")
    cautious.load(first)
    tried.write(changed, FETCH if changed.endswith(".py") else "ttl: 60\n")
    tried.later()
    assert tried.find("shop") is first
    ((new, proven),) = cautious.asked
    assert (new is first, proven is first) == (False, True)


def test_a_change_of_a_change_is_weighed_against_the_latest_that_loaded(
    tried: Fixture, cautious: Cautious
) -> None:
    """A second change is compared with the latest that was loaded, not with one that never was."""
    tried.write("a/shop/app.py")
    first = tried.find("shop")
    cautious.load(first)
    for seconds in (60, 70, 80):
        tried.write("a/shop/buntime.yaml", f"ttl: {seconds}\n")
        tried.later()
        assert tried.find("shop") is first
        if seconds == 60:
            cautious.load(second := cautious.asked[-1][0])
            first = second
    assert [proven for _, proven in cautious.asked][1:] == [second, second]


def test_another_answer_counts_at_once(tried: Fixture, cautious: Cautious) -> None:
    """A new revision of the rollout is heeded before the folders are checked again."""
    tried.write("a/shop/app.py")
    cautious.load(tried.find("shop"))
    tried.write("a/shop/buntime.yaml", "ttl: 60\n")
    tried.later()
    tried.find("shop")
    new, _ = cautious.asked[-1]
    cautious.load(new)
    assert tried.find("shop") is new


def test_a_faulty_version_beside_one_that_was_loaded(tried: Fixture, cautious: Cautious) -> None:
    """Beside a faulty version the loaded one serves, even if nobody has asked for it since."""
    tried.write("a/shop@1.0.0/app.py")
    first = tried.find("shop")
    cautious.load(first)
    tried.write("a/shop@2.0.0/app.py")
    tried.write("a/shop@2.0.0/buntime.yaml", "ttl: soon\n")
    tried.later()
    assert tried.find("shop") is first
    assert [event for event, _ in tried.warnings] == ["app.version_invalid"]


def test_apps_stay_while_no_descriptors_are_left(apps: Fixture) -> None:
    """Without descriptors apps keep their versions, scopes and manifests; changes are seen
    afterwards."""
    paths = ("shop@1.2.0", "blog/1.0.0", "blog/2.0.0", "@acme/wiki", "plain")
    for path in paths:
        apps.write(f"a/{path}/app.py")
        apps.write(f"a/{path}/buntime.yaml", "ttl: 60")
    names = ["shop", "blog", "@acme/wiki", "plain"]
    before = [apps.find(name) for name in names]
    apps.later()
    apps.write("a/later/app.py")
    with no_descriptors():
        assert [apps.find(name) for name in names] == before
    assert apps.warnings == []
    apps.later()
    assert [apps.find(name) for name in names] == before
    assert apps.key("later") == "later"
