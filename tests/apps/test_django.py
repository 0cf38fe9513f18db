"""Django's admin and Wagtail's, in Chromium: sign in, see the styles, create something."""

from __future__ import annotations

import os
import subprocess

import pytest
from playwright.sync_api import Page, expect

from tests.apps.conftest import PYTHON, Served, Site


def make_operator(served: Served, settings: str) -> None:
    """Run `createsuperuser` in the app's database, once for all ways to reach the app."""
    folder = served.apps / f"{served.recipe.name}@1.0.0"
    environ = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "DJANGO_SUPERUSER_PASSWORD": "tea for two",
        "APP_DATA_DIR": str(served.data),
    }
    command = [PYTHON, "manage.py", "createsuperuser", "--noinput"]
    command += ["--username", "ada", "--email", "ada@example.com"]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or "already taken" in done.stderr, done.stderr


def sign_in(page: Page) -> None:
    page.fill("input[name=username]", "ada")
    page.fill("input[name=password]", "tea for two")
    page.keyboard.press("Enter")


@pytest.mark.app("django")
def test_django_admin(served: Served, site: Site, page: Page) -> None:
    """After signing in, with styles, a group can be created; errors show Django's own page."""
    assert site.get("/admin/").status_code == 200  # loads the app, which creates the tables
    make_operator(served, "mysite.settings")
    page.goto(site.url + "/admin/")
    sign_in(page)
    expect(page.locator("#user-tools")).to_contain_text("ada")
    assert page.evaluate("getComputedStyle(document.querySelector('#header')).display") == "flex"
    page.goto(site.url + "/admin/auth/group/add/")
    page.fill("input[name=name]", site.url)
    page.click("input[name=_save]")
    expect(page.locator("#result_list")).to_contain_text(site.url)
    assert site.get("/static/admin/css/base.css").headers["content-type"].startswith("text/css")


@pytest.mark.app("wagtail")
def test_wagtail(served: Served, site: Site, page: Page) -> None:
    """The first page is shown; an editor signs in and changes its title in the editor."""
    assert site.get("/").status_code == 200
    make_operator(served, "cms.settings.dev")
    page.goto(site.url + "/admin/")
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(site.url + "/admin/pages/3/edit/")  # the template's first page
    page.locator("[name=title]").fill(f"Tea at {site.base}")
    page.get_by_role("button", name="Save draft").click()
    expect(page.get_by_role("heading", level=1).first).to_contain_text(site.base)
