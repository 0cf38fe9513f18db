"""The Helm chart, rendered by helm and examined as objects.

`python3 build.py test --chart` runs these tests, because helm is not in the tests' environment.
"""
