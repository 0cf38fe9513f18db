"""What `build.py newcomer` takes from docs/operating.md, and how it checks commands' output."""

from __future__ import annotations

import pytest

from artifacts.newcomer import PAGE, File, Order, missing, read_page

OUTPUT = """\
shop@1.0.0 to here: 2 files
   0.1 s  booted
   0.2 s  active  http://localhost/shop/
"""


def test_the_page() -> None:
    """Files and commands come in order; a command that should fail says so."""
    deeds = read_page(PAGE.read_text("utf-8"))
    files = [deed.path for deed in deeds if isinstance(deed, File)]
    orders = [deed for deed in deeds if isinstance(deed, Order)]
    assert files == ["site/index.html", "orders/buntime.yaml", "shop/app.py", "shop/buntime.yaml"]
    assert orders[0] == Order("install -m 755 buntime /usr/local/bin/buntime", ())
    assert [order.line for order in orders if order.fails] == ["buntime deploy shop"] * 2
    told = {word for order in orders for word in order.line.split()}
    for word in ("install-service", "keys", "secrets", "cron", "rollback", "logs", "restore"):
        assert word in told


def test_a_block_without_a_file() -> None:
    """A block that a reader could not use is an error of the page."""
    with pytest.raises(ValueError, match="a block of python has no name of a file"):
        read_page("## The first half hour\n\n```python\nx = 1\n```\n")


@pytest.mark.parametrize(
    ("told", "lacks"),
    [
        ((), ""),
        (("…",), ""),
        (("shop@1.0.0 to here: 2 files", "…active  http://localhost/shop/"), ""),
        (("…booted",), ""),
        (("booted",), "booted"),  # a line must match as a whole
        (("…active…", "…booted"), "…booted"),  # and lines must come in order
        (("…failed…",), "…failed…"),
    ],
)
def test_what_a_command_prints(told: tuple[str, ...], lacks: str) -> None:
    """Each line of the page must be printed, in order; `…` is any text."""
    assert missing(told, OUTPUT) == lacks
