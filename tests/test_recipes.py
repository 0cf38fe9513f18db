"""docs/recipes.md, without installing packages: manifests are read, and each recipe has its
test."""

from __future__ import annotations

import re
import tomllib

import pytest

from buntime.core.apps.manifest import parse_manifest
from tests.support.harness import ROOT
from tests.support.recipes import Recipe, recipes

RECIPES = recipes()


def locked(group: str) -> set[str]:
    text = (ROOT / f"requirements/{group}.txt").read_text("utf-8")
    return set(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==", text, re.MULTILINE))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipe(recipe: Recipe) -> None:
    """A recipe's manifest is valid, its code compiles, and --apps installs its packages."""
    text = recipe.files["buntime.yaml"].encode()
    parse_manifest(text, path="buntime.yaml", body_default=1 << 20, body_max=1 << 30)
    for name, text in recipe.files.items():
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert locked("apps") >= {package.partition("[")[0] for package in recipe.packages}


def test_each_is_driven() -> None:
    """A test of tests/apps names each recipe."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests/apps").glob("test_*.py"))
    assert set(re.findall(r"mark\.app\(\"([\w-]+)\"\)", tests)) == RECIPES.keys()


def test_number() -> None:
    """The README says how many recipes there are."""
    assert f"{len(RECIPES)} frameworks and applications" in (ROOT / "README.md").read_text("utf-8")


def test_light_is_a_part() -> None:
    """All packages of the light group are in the full group too."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    assert {"include-group": "apps-light"} in groups["apps"]
    assert locked("apps-light") <= locked("apps")
