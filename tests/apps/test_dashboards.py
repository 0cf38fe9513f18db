"""Dashboards and notebooks, used in Chromium: what is typed comes back by their WebSocket."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.apps.conftest import Site

UPLOAD = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"x" * 300_000}


@pytest.mark.app("streamlit")
def test_streamlit(site: Site, page: Page) -> None:
    """The greeting appears, and an upload reaches the session that asked for it."""
    page.goto(site.url + "/")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_text("Hello, Ada!")).to_be_visible()
    page.locator("input[type=file]").set_input_files(UPLOAD)
    expect(page.get_by_text("300000 bytes")).to_be_visible()


@pytest.mark.app("gradio")
def test_gradio(site: Site, page: Page) -> None:
    page.goto(site.url + "/")
    boxes = page.locator("textarea")
    boxes.first.fill("Ada")
    page.get_by_role("button", name="Submit").click()
    expect(boxes.last).to_have_value("Hello, Ada!")


@pytest.mark.app("shiny")
def test_shiny(site: Site, page: Page) -> None:
    """The greeting appears, and an upload reaches its session."""
    page.goto(site.url + "/")
    page.get_by_label("Name").fill("Ada")
    expect(page.locator("#greeting")).to_have_text("Hello, Ada!")
    page.locator("input[type=file]").set_input_files(UPLOAD)
    expect(page.get_by_text("300000 bytes")).to_be_visible()


@pytest.mark.app("nicegui")
def test_nicegui(site: Site, page: Page) -> None:
    page.goto(site.url + "/")
    page.get_by_label("Name").fill("Ada")
    page.get_by_role("button", name="Greet").click()
    expect(page.get_by_text("Hello, Ada!")).to_be_visible()


@pytest.mark.app("marimo")
def test_marimo(site: Site, page: Page) -> None:
    page.goto(site.url + "/")
    box = page.get_by_role("textbox").first
    box.fill("Ada")
    box.press("Enter")
    expect(page.get_by_text("Hello, Ada!")).to_be_visible()


@pytest.mark.app("panel")
def test_panel(site: Site, page: Page) -> None:
    page.goto(site.url + "/page")
    page.get_by_role("textbox").fill("Ada")
    page.get_by_role("textbox").press("Enter")
    expect(page.get_by_text("Hello, Ada!")).to_be_visible()


@pytest.mark.app("dash")
def test_dash(site: Site, page: Page) -> None:
    page.goto(site.url + "/")
    page.fill("#name", "Ada")
    expect(page.locator("#greeting")).to_have_text("Hello, Ada!")


@pytest.mark.app("datasette")
def test_datasette(site: Site, page: Page) -> None:
    """Links lead from the first page to a row."""
    page.goto(site.url + "/")
    page.get_by_role("link", name="shop").first.click()
    page.get_by_role("link", name="items").first.click()
    expect(page.locator("table.rows-and-columns")).to_contain_text("Tea")
    rows = site.get("/shop/items.json?_shape=array").json()
    assert rows == [{"id": 1, "name": "Tea"}]


@pytest.mark.app("mlflow")
def test_mlflow(site: Site, page: Page) -> None:
    """An experiment made through the API is in the page's list."""
    name = f"tea at {site.url}"
    made = site.http.post(site.url + "/api/2.0/mlflow/experiments/create", json={"name": name})
    assert made.status_code == 200, made.text
    page.goto(site.url + "/#/experiments")
    expect(page.get_by_text(name).first).to_be_visible()
