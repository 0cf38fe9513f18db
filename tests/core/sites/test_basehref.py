"""A <base href> is placed where a browser looks for it first, and never beside another one."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buntime.core.sites.basehref import base_tag, insertion_point, with_base


def marked(page: str) -> str:
    """The page with "@" where the tag would go, or unchanged if there is no place."""
    data = page.encode()
    place = insertion_point(data)
    return page if place is None else (data[:place] + b"@" + data[place:]).decode()


@pytest.mark.parametrize(
    "page",
    [
        "<!doctype html><html><head>@<title>x</title></head><body></body></html>",
        '<HTML LANG="en"><HEAD PROFILE="a>b">@<TITLE>x</TITLE>',
        "<!doctype html><html lang=de>@<title>x</title>",
        "<!DOCTYPE html>@<p>x",
        "<!-- <head> --><head>@</head>",
        "<!--><head>@</head>",
        "<!---><head>@</head>",
        "<!-- a --!><head>@</head>",
        "<!-- > <base href=x> --><head>@</head>",
        "@<p>x<head>",
        "@plain text",
        "@",
        "@<body><head>",
        "\n  <head\n>@\n",
        "<head/>@",
        "<head data-x='<base href=y>'>@",
        "<head data-x=a/b>@",
        "<head data-x=>@",
        '<head data-x="a"data-y>@',
        "@<header>x</header>",
        "@<headline>",
        "<html><head>@<meta charset=utf-8><link rel=icon href=x></head>",
        "<head>@<script>'<base href=x>'</script>",
        "<head>@<title><base href=x></title>",
        "<head>@<style>a{}</style><noscript><base href=x></noscript>",
        "<head>@<template><base href=x></template>",
        "<head>@<script src=x>",
        "<head>@<base target=_blank>",
        "<head>@<basefont href=x>",
        "<head>@</head><body><base href=x>",
        "<head>@<p><base href=x>",
        "<head>@<meta content='<base href=x>'>",
        '<?xml version="1.0"?><!DOCTYPE html><html>@',
        "@<",
        "@a < b",
        "@<head",
        '@<head class="',
        "@<!-- <head>",
        "@<!doctype",
        "</x y><head>@",
        "</><head>@",
        "<head>@<head>",
        "<head>@</head><html>",
        "\ufeff@x",
        "\ufeff<head>@",
    ],
)
def test_place(page: str) -> None:
    """The place is after <head>, else <html>, else the doctype, else at the start."""
    assert marked(page.replace("@", "")) == page


@pytest.mark.parametrize(
    "page",
    [
        "<head><base href=/></head>",
        "<head><BASE\nHREF='/x/'>",
        "<head><title>x</title><!-- --><base target=_top href=x>",
        "<base/href=x>",
        "<html><base href>",
        "<head><script>'</scripty>'</script><base href=x>",
    ],
)
def test_a_page_with_its_own(page: str) -> None:
    """A page that has its own <base href> stays as it is."""
    assert insertion_point(page.encode()) is None


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-be"])
def test_wide_encodings(encoding: str) -> None:
    """A page in UTF-16 or UTF-32 stays as it is, since an ASCII tag would break it."""
    bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert insertion_point(bom + "<head>".encode(encoding)) is None


@pytest.mark.parametrize(
    ("base", "tag"),
    [
        ("", b'<base href="/">'),
        ("/shop@1.2", b'<base href="/shop@1.2/">'),
        ('/a"><script>', b'<base href="/a&quot;&gt;&lt;script&gt;/">'),
        ("/a&b'c", b'<base href="/a&amp;b&#x27;c/">'),
        ("/caf\xe9", b'<base href="/caf&#233;/">'),
    ],
)
def test_tag(base: str, tag: bytes) -> None:
    """The mount is escaped, so that a path cannot inject HTML."""
    assert base_tag(base) == tag


PIECES = st.sampled_from(
    "<!doctype html>|<html>|<head>|</head>|<body>|<base href=x>|<base>|<!--|-->|<title>|</title>|"
    "<script>|</script>|<head a='|<meta b=|<!|<?|</|<|>|'|\"|=|/| |x".split("|")
)


@given(st.lists(PIECES).map("".join).map(str.encode) | st.binary(max_size=200))
def test_injected_once(page: bytes) -> None:
    """A page that has received the tag already has one, so it never gets a second."""
    place = insertion_point(page)
    if place is not None:
        injected = page[:place] + base_tag("/x") + page[place:]
        assert insertion_point(injected) is None


@pytest.mark.parametrize(
    "piece",
    [
        b'<a "',
        b"<a '",
        b"<!--",
        b"<!-->",
        b"<!",
        b"<!>",
        b"</>",
        b"<",
        b"<script>",
        b"<title ",
        b"<meta>",
        b"<meta a=",
        b"<meta a='",
        b"/",
        b"\n",
    ],
)
def test_two_mebibytes_of_it(piece: bytes) -> None:
    """No page takes more than a second, not even one of unclosed or empty tags."""
    page = b"<head>" + piece * (2 * 1024 * 1024 // len(piece))
    started_s = time.process_time()
    assert insertion_point(page) == len(b"<head>")
    assert time.process_time() - started_s < 1


def test_an_answer_of_an_app_gets_the_tag() -> None:
    """A complete HTML answer gets the tag, and loses its length, which is no longer right."""
    fields = [["Content-Type", "text/html; charset=utf-8"], ["Content-Length", "19"], ["x-a", "1"]]
    assert with_base(fields, b"<head><p>Hi</head>", "/shop@1") == (
        [["Content-Type", "text/html; charset=utf-8"], ["x-a", "1"]],
        b'<head><base href="/shop@1/"><p>Hi</head>',
    )


@pytest.mark.parametrize(
    "fields",
    [
        [["content-type", "application/json"]],
        [],
        [["content-type", "text/html"], ["content-encoding", "gzip"]],
    ],
)
def test_other_answers_are_left_alone(fields: list[list[str]]) -> None:
    """An answer that is not a page, or cannot be read, stays as it is."""
    assert with_base(fields, b"<head></head>", "/shop") == (fields, b"<head></head>")
