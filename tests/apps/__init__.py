"""Real applications, installed from PyPI as docs/recipes.md says, and driven under their bases.

`python3 build.py test --apps` runs them, because their packages are not in the tests' environment.
"""
