"""The Helm chart, rendered by helm and looked at as objects.

`python3 build.py test --chart` runs them: helm is no part of the tests' own environment.
"""
