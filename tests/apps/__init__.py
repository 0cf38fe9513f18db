"""Real applications, installed from PyPI as docs/recipes.md tells, driven under their bases.

`python3 build.py test --apps` runs them: their packages are no part of the tests' own environment.
"""
