"""Which requests get the shell, and which the page."""

from __future__ import annotations

import pytest

from buntime.core.sites.shellrules import framed_target, is_for_window, may_be_shell

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("method", "rest", "fields", "wanted"),
    [
        # a window of a browser that sends Sec-Fetch-Dest
        ("GET", "/", {"sec-fetch-dest": "document", "accept": CHROME}, True),
        ("GET", "/queues", {"sec-fetch-dest": "document"}, True),
        ("GET", "", {"sec-fetch-dest": "document"}, True),
        ("HEAD", "/", {"sec-fetch-dest": "document"}, True),
        ("GET", "/", {"sec-fetch-dest": "Document "}, True),
        # the same browser's frames, scripts, fetches, downloads into a frame
        ("GET", "/", {"sec-fetch-dest": "iframe", "accept": CHROME}, False),
        ("GET", "/", {"sec-fetch-dest": "frame", "accept": CHROME}, False),
        ("GET", "/", {"sec-fetch-dest": "embed", "accept": CHROME}, False),
        ("GET", "/", {"sec-fetch-dest": "object", "accept": CHROME}, False),
        ("GET", "/", {"sec-fetch-dest": "empty", "accept": CHROME}, False),
        ("GET", "/", {"sec-fetch-dest": "script"}, False),
        ("GET", "/", {"sec-fetch-dest": "", "accept": CHROME}, False),
        # a browser without Sec-Fetch-Dest: plain http on a name, Safari before 16.4
        ("GET", "/", {"accept": CHROME}, True),
        ("GET", "/", {"accept": "text/html"}, True),
        ("GET", "/", {"accept": "*/*"}, False),  # curl
        ("GET", "/", {"accept": "application/json"}, False),
        ("GET", "/", {"accept": "text/html;q=0, */*"}, False),
        ("GET", "/", {}, False),
        # a request that changes something goes to its target
        ("POST", "/", {"sec-fetch-dest": "document"}, False),
        ("OPTIONS", "/", {"accept": CHROME}, False),
        # downloads, callbacks, files
        ("GET", "/report.pdf", {"sec-fetch-dest": "document"}, False),
        ("GET", "/a/b.tar.gz", {"accept": CHROME}, False),
        ("GET", "/oauth.cgi", {"sec-fetch-dest": "document"}, False),
        ("GET", "/page.html", {"sec-fetch-dest": "document"}, True),
        ("GET", "/page.HTM", {"accept": CHROME}, True),
        ("GET", "/v1.2/", {"accept": CHROME}, True),
        ("GET", "/v1.2", {"accept": CHROME}, False),
        ("GET", "/.hidden", {"accept": CHROME}, True),
        ("GET", "/ann%40example.com", {"accept": CHROME}, False),
        # an ambiguous path is no page
        ("GET", "/a/..%2fb", {"sec-fetch-dest": "document"}, False),
        ("GET", "//x", {"sec-fetch-dest": "document"}, False),
        ("GET", "/a%2ehtml%3f.pdf", {"sec-fetch-dest": "document"}, False),
    ],
)
def test_wants_shell(method: str, rest: str, fields: dict[str, str], *, wanted: bool) -> None:
    """Only windows of browsers get the shell."""
    assert (may_be_shell(method, rest) and is_for_window(fields.items())) is wanted


@pytest.mark.parametrize(
    ("target", "page"),
    [
        ("/.well-known/buntime/frame/keyval/queues?x=1", "/keyval/queues?x=1"),
        ("/.well-known/buntime/frame/@acme/shop/", "/@acme/shop/"),
        ("/.well-known/buntime/frame/", "/"),
        ("/.well-known/buntime/frame", None),
        ("/.well-known/buntime/frame.js", None),
        ("/.well-known/buntime/frames/keyval/", None),
        ("/keyval/", None),
    ],
)
def test_framed_target(target: str, page: str | None) -> None:
    """The target after the alias is the page's own."""
    assert framed_target(target) == page
