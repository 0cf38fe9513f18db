"""A static site over a real folder: what is served, in which form, and what never is."""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buntime.core.apps.fileheaders import HeaderRules, parse_file_headers
from buntime.core.errors import ClientFault, ManifestError, ServerFault
from buntime.server.sites.site import FilePart, Rules, StaticAnswer, StaticSite
from buntime.server.sites.sitefile import SiteFile
from tests.support.harness import descriptors_below
from tests.support.hostile import SECRET, corpus_paths, fill

BIG = bytes(range(256)) * 300  # 75 KiB: not kept in memory
PAGE = "<!doctype html><html><head><title>x</title></head><body>x</body></html>"
NAVIGATION = [("accept", "text/html,*/*;q=0.8"), ("sec-fetch-mode", "navigate")]
LONG_AGO_NS = 784111777 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site with a page, a small and a big file, a folder with an index and one without."""
    home = tmp_path / "site"
    for name in ("docs", "empty-folder"):
        (home / name).mkdir(parents=True)
    (home / "index.html").write_text(PAGE)
    (home / "app.js").write_text("run()")
    (home / "big.bin").write_bytes(BIG)
    (home / "docs" / "index.html").write_text(f"{PAGE}<!-- docs -->")
    (home / "docs" / "guide.html").write_text(f"{PAGE}<!-- guide -->")
    return home


@pytest.fixture(autouse=True)
def no_descriptor_stays_open(tmp_path: Path) -> Iterator[None]:
    yield
    assert descriptors_below(tmp_path) == []


class Client:
    """Asks a site and reads the answers, at a time that only the test moves."""

    def __init__(self, site: StaticSite, base: str = "/site") -> None:
        self.site = site
        self.base = base
        self.now_s = 1000.0

    def ask(
        self, path: str, *fields: tuple[str, str], method: str = "GET", query: str = ""
    ) -> StaticAnswer:
        """The answer, whose body is still to be read or closed."""
        return self.site.answer(method, path, fields, self.base, self.now_s, query=query)

    def get(self, path: str, *fields: tuple[str, str], method: str = "GET") -> "Got":
        return Got(self.ask(path, *fields, method=method))

    def outcome(self, path: str, *fields: tuple[str, str]) -> "Got | ClientFault":
        """For paths that may be served or not; any other outcome is a bug."""
        try:
            return self.get(path, *fields)
        except ClientFault as fault:
            return fault

    def fails(self, path: str, *fields: tuple[str, str], method: str = "GET") -> ClientFault:
        with pytest.raises(ClientFault) as caught:
            self.ask(path, *fields, method=method)
        return caught.value

    def etag(self, path: str, *fields: tuple[str, str]) -> str:
        return self.get(path, *fields).headers["etag"]


class Got:
    """An answer that was read to its end and closed."""

    def __init__(self, answer: StaticAnswer) -> None:
        self.status = answer.status
        self.headers = dict(answer.headers)
        assert len(self.headers) == len(answer.headers)
        parts = answer.body if isinstance(answer.body, list) else [answer.body]
        self.body = b"".join(
            os.pread(part.fd, part.length, part.offset) if isinstance(part, FilePart) else part
            for part in parts
        )
        answer.close()
        answer.close()  # a second time does no harm

    @property
    def text(self) -> str:
        return self.body.decode()


@pytest.fixture
def client(folder: Path) -> Client:
    return Client(StaticSite(str(folder)))


def settled(folder: Path, **options: bool) -> Client:
    """A site whose files count as old, as a deployment's soon do."""
    return Client(StaticSite(str(folder), wall_clock=lambda: 4e9, **options))  # type: ignore[arg-type] # bool only


# What is served


def test_a_small_file(client: Client) -> None:
    """A small file comes from memory, with all headers."""
    answer = client.ask("/app.js")
    assert answer.body == b"run()"
    headers = dict(answer.headers)
    assert re.fullmatch(r'"[0-9a-f]{24}"', headers.pop("etag"))
    assert headers.pop("last-modified").endswith(" GMT")
    assert headers == {
        "content-type": "text/javascript; charset=utf-8",
        "content-length": "5",
        "cache-control": "public, max-age=0, must-revalidate",
        "accept-ranges": "bytes",
        "x-content-type-options": "nosniff",
    }


def test_a_big_file(client: Client) -> None:
    """A big file is returned as an open descriptor, which the receiver must close."""
    answer = client.ask("/big.bin")
    assert isinstance(answer.body, FilePart)
    fd, offset, length = answer.body
    assert (offset, length) == (0, len(BIG))
    assert Got(answer).body == BIG
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_an_empty_file(folder: Path, client: Client) -> None:
    """An empty file is a 200 without bytes, even if a range is asked for."""
    (folder / "empty.txt").touch()
    assert client.get("/empty.txt").headers["content-length"] == "0"
    assert client.get("/empty.txt", ("range", "bytes=0-")).status == 200


@pytest.mark.parametrize("path", ["/app.js", "/big.bin", "/"])
def test_head(client: Client, path: str) -> None:
    """HEAD has the headers of GET, no body and no open file."""
    head = client.ask(path, method="HEAD")
    assert head.body == b""
    assert Got(head).headers == client.get(path).headers


def test_names_with_odd_characters(folder: Path, client: Client) -> None:
    """A path is decoded once, as UTF-8, and is the same file however it is written."""
    (folder / "café ☕.txt").write_text("coffee")
    (folder / "100%.txt").write_text("all")
    (folder / "%61pp.js").write_text("not app.js")
    assert client.get("/caf%C3%A9%20%E2%98%95.txt").text == "coffee"
    assert client.get("/100%25.txt").text == "all"
    assert client.get("/%61pp.js").text == "run()"
    assert client.get("/%2561pp.js").text == "not app.js"
    assert client.fails("/100%.txt").status == 404


def test_private_sites(folder: Path) -> None:
    """What needs a key is kept out of shared caches."""
    client = settled(folder, private=True)
    for path in ("/", "/app.js", "/big.bin"):
        assert client.get(path).headers["cache-control"].startswith("private, ")


def test_other_methods(client: Client) -> None:
    """Only GET and HEAD are answered, even for missing paths."""
    assert client.fails("/app.js", method="POST").status == 405
    assert client.fails("/missing", method="DELETE").status == 405


# Folders and the entrypoint


def test_folders(client: Client) -> None:
    """A folder is its index.html, and without the final slash a redirect to it."""
    assert client.get("/docs/").text.endswith("<!-- docs -->")
    moved = client.get("/docs")
    assert (moved.status, moved.body) == (308, b"")
    assert moved.headers["location"] == "/site/docs/"
    assert moved.headers["content-length"] == "0"
    assert client.fails("/empty-folder").status == 404
    assert client.fails("/empty-folder/").status == 404


def test_redirects_keep_the_query(client: Client) -> None:
    """A query survives the redirect of a folder and of the mount itself."""
    assert ("location", "/site/docs/?a=1") in client.ask("/docs", query="a=1").headers
    assert ("location", "/site/?a=1") in client.ask("", query="a=1").headers


def test_redirects_stay_on_this_host(folder: Path) -> None:
    """No mount and no path gives a Location that a browser takes for another host."""
    client = Client(StaticSite(str(folder)), base="")
    (folder / "evil.example").mkdir()
    (folder / "evil.example" / "index.html").touch()
    assert client.get("/evil.example").headers["location"] == "/evil.example/"
    assert client.fails("//evil.example").status == 404
    assert client.fails("/%2fevil.example").status == 404
    assert client.fails("/\\evil.example").status == 404


def test_navigations_get_the_entrypoint(client: Client) -> None:
    """A path without a file is answered with the entrypoint if a person navigates there."""
    page = client.get("/")
    for path in ("/users/1", "/users/", "/docs/chapter", "/empty-folder", "/app.js/x"):
        got = client.get(path, *NAVIGATION)
        assert (got.status, got.body) == (200, page.body)
        assert client.get(path, *NAVIGATION, method="HEAD").headers == page.headers
        assert client.fails(path).status == 404
        assert client.fails(path, ("accept", "text/html"), ("sec-fetch-mode", "cors")).status == 404
    assert client.fails("/missing.js", *NAVIGATION).status == 404
    assert client.get("/docs/guide.html", *NAVIGATION).text.endswith("<!-- guide -->")


def test_an_entrypoint_below(folder: Path) -> None:
    """With the entrypoint in dist/, the site is the content of dist/."""
    (folder / ".output" / "public").mkdir(parents=True)
    (folder / ".output" / "public" / "main.html").write_text(f"{PAGE}<!-- built -->")
    (folder / ".output" / "public" / "app.js").write_text("built()")
    client = Client(StaticSite(str(folder), ".output/public/main.html"))
    assert client.get("/").text.endswith("<!-- built -->")
    assert client.get("/app.js").text == "built()"
    assert client.get("/deep/link", *NAVIGATION).body == client.get("/main.html").body
    assert client.fails("/index.html").status == 404
    assert client.fails("/big.bin").status == 404


def test_a_missing_entrypoint(folder: Path, client: Client) -> None:
    """Without its entrypoint a site serves its other files, and no page."""
    (folder / "index.html").unlink()
    assert client.fails("/", *NAVIGATION).status == 404
    assert client.fails("/users/1", *NAVIGATION).status == 404
    assert client.get("/app.js").status == 200


@pytest.mark.parametrize("index", ["../index.html", "/index.html", "a//b.html", "", "a/", "a/./b"])
def test_an_entrypoint_outside(folder: Path, index: str) -> None:
    """An entrypoint that is not a plain path inside the folder is the manifest's error."""
    with pytest.raises(ManifestError, match="entrypoint"):
        StaticSite(str(folder), index)


# <base href>


def test_the_entrypoint_gets_its_base(client: Client) -> None:
    """The page's links start at its mount, and its headers match that form of it."""
    got = client.get("/")
    assert got.text == PAGE.replace("<head>", '<head><base href="/site/">')
    assert got.headers["content-length"] == str(len(got.body))
    assert got.headers["cache-control"] == "no-cache"
    assert client.get("/index.html").headers == got.headers


def test_each_mount_is_a_page_of_its_own(folder: Path) -> None:
    """Below another mount it is another page, with another ETag."""
    site = StaticSite(str(folder))
    pages = {base: Client(site, base).get("/") for base in ("/site", "/site@1", '/"><script>')}
    assert len({page.headers["etag"] for page in pages.values()}) == 3
    assert '<base href="/site@1/">' in pages["/site@1"].text
    assert '<base href="/&quot;&gt;&lt;script&gt;/">' in pages['/"><script>'].text
    for _ in range(2):  # more mounts than are cached
        for number in range(20):
            assert f'"/site@{number}/"' in Client(site, f"/site@{number}").get("/").text


def test_ranges_of_the_page(client: Client) -> None:
    """Ranges and conditions apply to the page as it is sent."""
    page = client.get("/")
    part = client.get("/", ("range", "bytes=20-49"), ("if-range", page.headers["etag"]))
    assert (part.status, part.body) == (206, page.body[20:50])
    assert part.headers["content-range"] == f"bytes 20-49/{len(page.body)}"
    assert client.get("/", ("if-none-match", page.headers["etag"])).status == 304


def test_pages_that_stay_as_they_are(folder: Path, client: Client) -> None:
    """Other pages, pages with a base, and pages above 2 MiB are sent unchanged."""
    for path in ("/docs/", "/docs/guide.html"):
        assert "<base" not in client.get(path).text
    assert Client(StaticSite(str(folder), inject_base=False)).get("/").text == PAGE
    for page in (PAGE.replace("<head>", "<head><base href=x>"), PAGE + "x" * 2 * 1024 * 1024):
        (folder / "index.html").write_text(page)
        assert Client(StaticSite(str(folder))).get("/").text == page
    (folder / "index.html").write_text(PAGE + "x" * 1024 * 1024)
    assert '<base href="/site/">' in Client(StaticSite(str(folder))).get("/").text


# Conditions and ranges


@pytest.mark.parametrize("path", ["/app.js", "/big.bin", "/"])
def test_conditions(client: Client, path: str) -> None:
    """A client that has the file gets a 304 without a body; a failed precondition is a 412."""
    whole = client.get(path)
    etag, date = whole.headers["etag"], whole.headers["last-modified"]
    for field in (("if-none-match", etag), ("if-modified-since", date)):
        for method in ("GET", "HEAD"):
            got = client.get(path, field, method=method)
            assert (got.status, got.body) == (304, b"")
            assert got.headers["etag"] == etag
            assert "content-length" not in got.headers
    assert client.get(path, ("if-none-match", '"x"')).body == whole.body
    assert client.fails(path, ("if-match", '"x"')).status == 412
    assert client.get(path, ("if-match", etag)).body == whole.body


def test_etag_of_a_small_file_is_its_content(folder: Path) -> None:
    """Two builds with the same time and size have different tags; a copy has the same one."""
    tags = []
    for text in ("one", "two", "one"):
        (folder / "build.txt").write_text(text)
        os.utime(folder / "build.txt", ns=(LONG_AGO_NS, LONG_AGO_NS))
        tags.append(settled(folder).etag("/build.txt"))
    assert tags[0] == tags[2] != tags[1]


def test_etag_of_a_big_file(folder: Path) -> None:
    """A big file's tag is its time and its size."""
    os.utime(folder / "big.bin", ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert settled(folder).etag("/big.bin") == f'"{LONG_AGO_NS:x}-{len(BIG):x}"'
    assert settled(folder).get("/big.bin").headers["last-modified"] == (
        "Sun, 06 Nov 1994 08:49:37 GMT"
    )


@pytest.mark.parametrize("seconds", [-5, 4 * 10**9 + 1, 2**36])
def test_times_that_say_nothing(folder: Path, seconds: int) -> None:
    """A file from the future or from before 1970 has no Last-Modified."""
    os.utime(folder / "app.js", (seconds, seconds))
    assert "last-modified" not in settled(folder).get("/app.js").headers


def test_if_range(client: Client) -> None:
    """For a changed file If-Range gives the whole file."""
    etag = client.etag("/big.bin")
    ask = ("range", "bytes=0-9")
    assert client.get("/big.bin", ask, ("if-range", etag)).body == BIG[:10]
    assert client.get("/big.bin", ask, ("if-range", '"old"')).body == BIG
    assert client.get("/big.bin", ask, ("if-range", f"W/{etag}")).body == BIG


def test_range_beyond_the_end(client: Client) -> None:
    """A 416 says how long the file is."""
    fault = client.fails("/big.bin", ("range", f"bytes={len(BIG)}-"))
    assert fault.status == 416
    assert ("content-range", f"bytes */{len(BIG)}") in fault.headers


def test_repeated_range_fields(client: Client) -> None:
    """Two Range fields count as none."""
    fields = (("range", "bytes=0-1"), ("range", "bytes=4-5"))
    assert client.get("/app.js", *fields).status == 200


def parts_of(got: Got) -> list[tuple[str, bytes]]:
    """The parts of a multipart body: (Content-Range, data)."""
    kind, _, boundary = got.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    first, *pieces, last = (b"\r\n" + got.body).split(f"\r\n--{boundary}".encode())
    assert (first, last) == (b"", b"--\r\n")
    parts = []
    for piece in pieces:
        head, _, data = piece.partition(b"\r\n\r\n")
        match = re.fullmatch(rb"\r\nContent-Type: [^\r]+\r\nContent-Range: bytes ([^\r]+)", head)
        assert match is not None
        parts.append((match[1].decode(), data))
    return parts


@pytest.mark.parametrize("path", ["/kept.bin", "/big.bin"])
def test_several_ranges(folder: Path, client: Client, path: str) -> None:
    """Several ranges are sent as parts, in the order asked for, each with its position."""
    (folder / "kept.bin").write_bytes(BIG[:60_000])
    data = (folder / path[1:]).read_bytes()
    got = client.get(path, ("range", "bytes=-5, 0-9, 1000-1999"))
    size = len(data)
    assert got.status == 206
    assert got.headers["content-length"] == str(len(got.body))
    assert parts_of(got) == [
        (f"{size - 5}-{size - 1}/{size}", data[-5:]),
        (f"0-9/{size}", data[:10]),
        (f"1000-1999/{size}", data[1000:2000]),
    ]


NUMBERS = st.integers(0, 80_000).map(str)
SPECS = st.tuples(NUMBERS | st.just(""), NUMBERS | st.just("")).map("-".join)
RANGES = st.lists(SPECS, max_size=20).map(lambda specs: "bytes=" + ",".join(specs)) | st.text()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(RANGES, st.sampled_from(["/app.js", "/big.bin", "/"]))
def test_any_range(client: Client, value: str, path: str) -> None:
    """Any Range is ignored, is a 416, or gives as many bytes of the file as announced."""
    whole = client.get(path).body
    got = client.outcome(path, ("range", value))
    if isinstance(got, ClientFault):
        assert got.status == 416
        return
    assert got.headers["content-length"] == str(len(got.body))
    if got.status == 200:
        assert got.body == whole
        return
    assert got.status == 206
    place = got.headers.get("content-range")
    parts = parts_of(got) if place is None else [(place.removeprefix("bytes "), got.body)]
    for place, data in parts:
        first, last, size = map(int, re.split("[-/]", place))
        assert size == len(whole)
        assert data == whole[first : last + 1] != b""


# Compressed copies of files


@pytest.fixture
def packed(folder: Path) -> Path:
    """app.js, big.bin and the guide have compressed copies too."""
    for name in ("app.js", "big.bin", "docs/guide.html", "index.html"):
        data = (folder / name).read_bytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        (folder / f"{name}.br").write_bytes(b"brotli of " + data)
    return folder


def test_codings(packed: Path) -> None:
    """The client gets the form it prefers, each with its own ETag and Vary."""
    client = settled(packed)
    for path in ("/app.js", "/big.bin", "/docs/guide.html"):
        plain = client.get(path)
        br = client.get(path, ("accept-encoding", "gzip, deflate, br"))
        gz = client.get(path, ("accept-encoding", "gzip, br;q=0.9"))
        data = (packed / path[1:]).read_bytes()
        assert (plain.body, br.body, gzip.decompress(gz.body)) == (data, b"brotli of " + data, data)
        assert "content-encoding" not in plain.headers
        assert br.headers["content-encoding"] == "br"
        assert gz.headers["content-encoding"] == "gzip"
        assert len({got.headers["etag"] for got in (plain, br, gz)}) == 3
        for got in (plain, br, gz):
            assert got.headers["vary"] == "Accept-Encoding"
            assert got.headers["content-length"] == str(len(got.body))
            assert got.headers["content-type"] == plain.headers["content-type"]
    none = client.get("/app.js", ("accept-encoding", "br;q=0, gzip;q=0"))
    assert none.text == "run()"


def test_conditions_of_a_coded_form(packed: Path) -> None:
    """The tag of one form does not match another form."""
    client = settled(packed)
    br = ("accept-encoding", "br")
    etag = client.etag("/app.js", br)
    unchanged = client.get("/app.js", br, ("if-none-match", etag))
    assert (unchanged.status, unchanged.headers["vary"]) == (304, "Accept-Encoding")
    assert client.get("/app.js", ("if-none-match", etag)).status == 200
    assert client.get("/app.js", br, ("range", "bytes=0-5")).body == b"brotli"


def test_the_injected_page_is_not_compressed(packed: Path) -> None:
    """The entrypoint's compressed copy has no base, so it is used only without injection."""
    wants = ("accept-encoding", "br")
    page = settled(packed).get("/", wants)
    assert '<base href="/site/">' in page.text
    assert "vary" not in page.headers
    assert settled(packed, inject_base=False).get("/", wants).headers["content-encoding"] == "br"


def test_compressed_files_that_are_no_use(packed: Path) -> None:
    """A copy that is older than the file, empty, a folder or a link to the outside is not sent."""
    wants = ("accept-encoding", "br, gzip")
    os.utime(packed / "app.js.br", ns=(LONG_AGO_NS, LONG_AGO_NS))
    (packed / "app.js.gz").write_bytes(b"")
    assert "vary" not in settled(packed).get("/app.js", wants).headers
    for name in ("big.bin.br", "big.bin.gz"):
        (packed / name).unlink()
    (packed / "big.bin.br").mkdir()
    (packed.parent / "secret.br").write_text(SECRET)
    (packed / "big.bin.gz").symlink_to("../secret.br")
    assert settled(packed).get("/big.bin", wants).body == BIG


def test_a_compressed_file_by_its_own_name(packed: Path) -> None:
    """Asked for by its own name, a compressed file is sent as such, and not decoded on the way."""
    got = settled(packed).get("/app.js.gz", ("accept-encoding", "gzip"))
    assert got.headers["content-type"] == "application/gzip"
    assert "content-encoding" not in got.headers
    assert gzip.decompress(got.body) == b"run()"


# Caching


def test_a_warm_file_needs_no_disk(folder: Path) -> None:
    """For a second nothing is checked; then a change is seen, and so is a removed file."""
    client = settled(folder)
    assert client.get("/app.js").text == "run()"
    (folder / "app.js").write_text("changed()")
    client.now_s += 0.9
    assert client.get("/app.js").text == "run()"
    client.now_s += 0.2
    assert client.get("/app.js").text == "changed()"
    (folder / "app.js").unlink()
    assert client.get("/app.js").text == "changed()"
    client.now_s += 1
    assert client.fails("/app.js").status == 404
    (folder / "app.js").write_text("again()")
    assert client.fails("/app.js").status == 404
    client.now_s += 1
    assert client.get("/app.js").text == "again()"


def test_an_old_file_is_not_read_again(folder: Path) -> None:
    """A check that finds nothing new keeps the cached bytes."""
    client = settled(folder)
    first = client.ask("/app.js").body
    client.now_s += 5
    assert client.ask("/app.js").body is first


def test_a_young_file_is_read_again(folder: Path) -> None:
    """A file that may have changed within one tick of the disk's clock is not trusted."""
    client = Client(StaticSite(str(folder)))
    first = client.ask("/app.js").body
    client.now_s += 5
    assert client.ask("/app.js").body is not first


def test_without_a_pause_each_request_looks(folder: Path) -> None:
    """In development the next request sees the change, also for a page and for a missing file."""
    client = Client(StaticSite(str(folder), recheck_s=0))
    assert client.fails("/new.js").status == 404
    assert "<title>x" in client.get("/").text
    (folder / "new.js").write_text("new()")
    (folder / "index.html").write_text(PAGE.replace("<title>x", "<title>y"))
    assert client.get("/new.js").text == "new()"
    assert "<title>y" in client.get("/").text


def test_forget(folder: Path) -> None:
    """What is forgotten is read again at once."""
    client = settled(folder)
    assert client.get("/app.js").text == "run()"
    assert client.fails("/new.js").status == 404
    (folder / "app.js").write_text("changed()")
    (folder / "new.js").write_text("new()")
    client.site.forget()
    assert client.get("/app.js").text == "changed()"
    assert client.get("/new.js").text == "new()"


def test_a_compressed_file_that_comes_later(folder: Path) -> None:
    """A .br that is added beside a known file is found, and one that is removed is no longer
    sent."""
    client = settled(folder)
    wants = ("accept-encoding", "br")
    assert client.get("/app.js", wants).text == "run()"
    (folder / "app.js.br").write_text("small")
    client.now_s += 1
    assert client.get("/app.js", wants).text == "small"
    (folder / "app.js.br").unlink()
    client.now_s += 1
    assert client.get("/app.js", wants).text == "run()"


def test_a_big_file_that_changes(folder: Path) -> None:
    """A big file is sent as it is when it is opened, with headers to match."""
    client = settled(folder)
    old = client.etag("/big.bin")
    (folder / "big.bin").write_bytes(BIG * 2)
    got = client.get("/big.bin")
    assert got.body == BIG * 2
    assert got.headers["content-length"] == str(len(BIG) * 2)
    assert got.headers["etag"] != old
    (folder / "big.bin").write_text("small now")
    assert client.get("/big.bin").text == "small now"
    assert client.site._held_bytes == len("small now")
    (folder / "big.bin").write_bytes(BIG)
    client.now_s += 1
    assert client.get("/big.bin").body == BIG
    assert client.site._held_bytes == 0


def test_a_big_file_that_goes(folder: Path) -> None:
    """A removed big file is a 404 at once."""
    client = settled(folder)
    client.get("/big.bin")
    (folder / "big.bin").unlink()
    assert client.fails("/big.bin").status == 404


def test_memory_is_bounded(folder: Path) -> None:
    """A site caches 8 MiB of files and 1024 names, and still serves what it has dropped."""
    for number in range(150):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 60_000)
    for number in range(1100):
        os.mknod(folder / f"{number}.txt")
    client = settled(folder)
    for number in range(150):
        assert client.ask(f"/{number}.bin").body == bytes([number]) * 60_000
    assert client.site._held_bytes <= 8 * 1024 * 1024
    assert client.ask("/0.bin").body == bytes(60_000)
    for number in range(1100):
        client.ask(f"/{number}.txt")
        client.fails(f"/missing-{number}")
    assert len(client.site._files) <= 1024
    assert len(client.site._missing) <= 1024
    client.fails("/" + "x" * 8000)
    assert max(map(len, client.site._missing)) < 1000
    assert client.site._held_bytes == sum(file.held_bytes for file in client.site._files.values())


def test_other_spellings_take_no_room(client: Client) -> None:
    """All ways to encode a path share one entry."""
    for path in ("/", "/index.html", "/%69ndex.html", "/%69%6edex.html"):
        client.get(path)
    assert list(client.site._files) == ["/index.html"]


# What is never served


@pytest.fixture
def hostile(folder: Path) -> Path:
    """The folder, with everything that the corpus tries to reach, inside and around it."""
    fill(folder)
    return folder


def test_traversal(hostile: Path) -> None:
    """No path of the corpus gives a file, and a navigation gets the entrypoint at most."""
    paths = corpus_paths()
    assert len(paths) > 120
    client = Client(StaticSite(str(hostile)))
    page = client.get("/").body
    assert client.get("/100%25.txt").text == "all"
    for path in paths:
        for method in ("GET", "HEAD"):
            assert client.fails(path, method=method).status == 404, path
        got = client.outcome(path, *NAVIGATION)
        assert got.status in (200, 404), path
        assert isinstance(got, ClientFault) or got.body == page, path


def test_what_the_corpus_is_after_is_there(hostile: Path) -> None:
    """The corpus is a real test: its secrets exist, and allowed files beside them are served."""
    client = Client(StaticSite(str(hostile)))
    assert SECRET in (hostile / "link-up" / "secret.txt").read_text()
    assert SECRET in (hostile / "link-here" / "buntime.yaml").read_text()
    (hostile / ".well-known" / "security.txt").write_text("call us")
    assert client.get("/.well-known/security.txt").text == "call us"
    assert client.get("/link-here/link-here/app.js").text == "run()"
    (hostile / "docs" / "manifest.yaml").write_text("of something else")
    assert client.get("/docs/manifest.yaml").text == "of something else"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.sampled_from(
            "/ / / .. . %2e %2f %5c \\ % %00 secret.txt link-up link-here site .env buntime.yaml "
            "docs index.html app.js fifo link-root etc passwd ~ + é".split()
        ),
        max_size=8,
    ).map(lambda pieces: "/" + "".join(pieces))
    | st.text().map(lambda text: "/" + text)
)
def test_any_path(hostile: Path, path: str) -> None:
    """Any path is a 404, or something that may be seen."""
    client = Client(StaticSite(str(hostile)))
    got = client.outcome(path, *NAVIGATION)
    assert got.status in (200, 308, 404)
    if isinstance(got, Got):
        assert SECRET.encode() not in got.body
        assert b"root:" not in got.body


class Restless(StaticSite):
    """A site whose files change after every check."""

    def _load(self, key: str) -> SiteFile | None:
        file = super()._load(key)
        path = os.path.join(os.fsdecode(self._folder), key[1:])
        os.truncate(path, os.path.getsize(path) + 1)
        return file


def test_a_file_that_never_holds_still(folder: Path) -> None:
    """A file that changes at each check is given up with a 503, and no descriptor stays open."""
    with pytest.raises(ServerFault) as caught:
        Client(Restless(str(folder))).ask("/big.bin")
    assert caught.value.status == 503


# What a folder publishes


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"at {name}")


def test_bytecode(folder: Path) -> None:
    """`__pycache__` is published nowhere."""
    write(folder, "__pycache__/app.pyc", "docs/__PYCACHE__/x.txt")
    client = Client(StaticSite(str(folder)))
    assert client.fails("/__pycache__/app.pyc").status == 404
    assert client.fails("/docs/__PYCACHE__/x.txt").status == 404


@pytest.mark.parametrize("name", ["x.py", "X.PY", "lib/x.pyc", "x.pyi", "x.py~", "x.py.bak"])
def test_sources(folder: Path, name: str) -> None:
    """Python files are published only if the manifest says that this is a site."""
    write(folder, name)
    assert Client(StaticSite(str(folder), code=False)).fails(f"/{name}").status == 404
    assert Client(StaticSite(str(folder), code=True)).get(f"/{name}").text == f"at {name}"


@pytest.mark.parametrize("name", ["python.js", "x.pyramid", "py", "a.py.d/x.js", "x.pyscript"])
def test_no_sources(folder: Path, name: str) -> None:
    """Names that only look like Python files are ordinary files."""
    write(folder, name)
    assert Client(StaticSite(str(folder), code=False)).get(f"/{name}").text == f"at {name}"


@pytest.mark.parametrize(
    "target",
    [".env", ".git/config", "docs/.hidden", "buntime.yaml", "__pycache__/x.pyc", "x.py", ".venv/x"],
)
def test_links_count_for_what_they_lead_to(folder: Path, target: str) -> None:
    """A link to an unpublished file is not published, nor is one to a folder with such a file."""
    write(folder, target)
    (folder / "direct.txt").symlink_to(target)
    (folder / "again.txt").symlink_to("direct.txt")
    (folder / "whole").symlink_to(os.path.dirname(target) or ".")
    client = Client(StaticSite(str(folder), code=False))
    for path in ("direct.txt", "again.txt", f"whole/{os.path.basename(target)}", target):
        assert client.fails(f"/{path}").status == 404, path
    (folder / "direct.txt").unlink()
    (folder / "direct.txt").symlink_to("app.js")
    assert Client(StaticSite(str(folder))).get("/again.txt").text == "run()"


def test_a_compressed_form_that_leads_elsewhere(folder: Path) -> None:
    """A .gz that links to .env is not sent in place of its file."""
    write(folder, ".env")
    (folder / "app.js.gz").symlink_to(".env")
    os.utime(folder / ".env", (4e9, 4e9))
    assert (
        Client(StaticSite(str(folder))).get("/app.js", ("accept-encoding", "gzip")).text == "run()"
    )


def test_a_mounted_config_map(folder: Path) -> None:
    """Kubernetes' links in a mounted folder are followed."""
    write(folder, "..2025_01_01/config.json", "..2025_01_01/.env")
    (folder / "..data").symlink_to("..2025_01_01")
    for name in ("config.json", "env.txt"):
        (folder / name).symlink_to(f"..data/{'.env' if name == 'env.txt' else name}")
    client = Client(StaticSite(str(folder)))
    assert client.get("/config.json").text == "at ..2025_01_01/config.json"
    assert client.fails("/env.txt").status == 404
    assert client.fails("/..data/config.json").status == 404


def test_links_out_of_a_built_site(folder: Path) -> None:
    """From dist/ a link may lead to the app's other files, but not to its manifest or .env."""
    write(folder, "dist/index.html", "shared/logo.svg", ".env", "buntime.yaml", "dist/.x/y")
    links = {"logo": "../shared/logo.svg", "env": "../.env", "b": "../buntime.yaml", "h": ".x/y"}
    for name, target in links.items():
        (folder / "dist" / name).symlink_to(target)
    client = Client(StaticSite(str(folder), "dist/index.html"))
    assert client.get("/logo").text == "at shared/logo.svg"
    for path in ("/env", "/b", "/h"):
        assert client.fails(path).status == 404, path


# Settings for files in a manifest


def test_a_site_that_is_no_single_page(folder: Path) -> None:
    """With `spa: false` a missing page is a 404, and "/" stays the same."""
    client = Client(StaticSite(str(folder), rules=Rules(spa=False)))
    assert client.get("/", *NAVIGATION).status == 200
    assert client.fails("/nowhere", *NAVIGATION).status == 404
    assert client.fails("/docs/nowhere/", *NAVIGATION).status == 404


@pytest.mark.parametrize("spa", [None, False])
def test_a_page_of_its_own_for_404(folder: Path, spa: bool | None) -> None:
    """Whoever accepts a page gets 404.html for a missing file, with its links relative to the
    site."""
    (folder / "404.html").write_text(PAGE.replace("x", "not here"))
    client = Client(StaticSite(str(folder), rules=Rules(spa=spa)))
    for path in ("/nowhere", "/a/b/c.html", "/.env"):
        if path == "/.env":
            assert client.fails(path, *NAVIGATION).status == 404
            continue
        got = client.get(path, *NAVIGATION, ("if-none-match", "*"), ("range", "bytes=0-1"))
        assert got.status == 404
        assert "not here" in got.text
        assert '<base href="/site/">' in got.text
        assert "etag" not in got.headers
        assert got.headers["content-length"] == str(len(got.body))
        assert client.get(path, *NAVIGATION, method="HEAD").body == b""
    assert client.fails("/nowhere.js", ("accept", "*/*")).status == 404
    assert client.get("/404.html").status == 200


def test_a_single_page_with_a_404_page(folder: Path) -> None:
    """With `spa: true` the entrypoint answers in spite of a 404.html."""
    (folder / "404.html").write_text(PAGE)
    client = Client(StaticSite(str(folder), rules=Rules(spa=True)))
    assert client.get("/nowhere", *NAVIGATION).status == 200


def test_fields_of_files(folder: Path) -> None:
    """The fields are on each form of a file and replace the default ones; a 304 has its own."""
    (folder / "app.js.gz").write_bytes(gzip.compress(b"run()"))
    said = {
        "/*.js": {"Cache-Control": "max-age=60", "Content-Security-Policy": "default-src 'self'"},
        "/index.html": {"X-Frame-Options": "DENY"},
        "/big.bin": {"Content-Type": "application/wasm"},
    }
    rules = Rules(headers=HeaderRules(parse_file_headers(said)))
    client = Client(StaticSite(str(folder), rules=rules))
    for fields in ([], [("accept-encoding", "gzip")]):
        got = client.get("/app.js", *fields)
        assert got.headers["cache-control"] == "max-age=60"
        assert got.headers["content-security-policy"] == "default-src 'self'"
    again = client.get("/app.js", ("if-none-match", client.etag("/app.js")))
    assert (again.status, again.headers["cache-control"]) == (304, "max-age=60")
    for path in ("/", "/nowhere"):
        assert client.get(path, *NAVIGATION).headers["x-frame-options"] == "DENY"
    assert client.get("/big.bin", ("range", "bytes=0-1")).headers["content-type"] == (
        "application/wasm"
    )
    assert "x-frame-options" not in client.get("/docs/").headers
