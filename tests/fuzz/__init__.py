"""Fuzzes what hostile clients and workers can send: `python3 build.py fuzz --seconds 3600`.

Inputs are the corpus's cases, cut, joined and changed at random. Each target states what must hold
for any input; see targets.py. A finding is printed as a Python literal, with the seed of its round,
and makes the exit code 1.
"""
