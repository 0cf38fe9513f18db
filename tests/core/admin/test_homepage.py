"""The page at `/`: apps and their problems, in one small file that no text can break."""

import re

from buntime.core.admin.homepage import ROWS_MAX, AppRow, render_home


def page(*rows: AppRow, more: int = 0, folders: tuple[str, ...] = ("apps",)) -> str:
    return render_home(rows, more=more, folders=folders, version="1.2.3").decode()


def test_apps() -> None:
    """Each app is shown with its address, its versions, and its state or its fault."""
    shown = page(
        AppRow("shop", "/shop/", ["1.0.0", "2.0.0"], "idle"),
        AppRow("own", "", [], "not asked yet"),
        AppRow("bad", "/bad/", [], "offline", "bad/buntime.yaml:1: unknown key"),
        more=3,
    )
    assert '<a href="/shop/">shop</a><td>1.0.0, 2.0.0<td>idle' in shown
    assert "<td>own<td><td>not asked yet" in shown
    assert "<pre>bad/buntime.yaml:1: unknown key</pre>" in shown
    assert "and 3 more" in shown
    assert "There is no app" not in shown


def test_nothing_yet() -> None:
    """Without apps, the page says where they are looked for and how to write one."""
    shown = page(folders=("/srv/apps", "/opt/apps"))
    assert "There is no app yet in /srv/apps, /opt/apps" in shown
    assert "buntime new /srv/apps/hello" in shown
    assert "in any folder" in page(folders=())


def test_texts_are_texts() -> None:
    """No name, version or fault becomes markup, whatever it contains."""
    evil = '"><script>alert(1)</script>\ud800'
    shown = page(AppRow(evil, f"/{evil}/", [evil], evil, evil), folders=(evil,))
    assert "<script" not in shown
    assert re.findall(r'<a href="([^"]*)">', shown) == [
        "/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;?/"
    ]
    assert "<script" not in page(folders=(evil,))


def test_it_is_small() -> None:
    """The page is no larger than 10 KB for a typical number of apps, and bounded for any number."""
    rows = [AppRow(f"app-{i}", f"/app-{i}/", ["1.0.0"], "idle") for i in range(ROWS_MAX)]
    assert len(page(*rows[:40])) < 10_000
    assert len(page(*(row._replace(fault="x" * 100_000) for row in rows))) < 500_000
