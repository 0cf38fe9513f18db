"""One client or app attacks, and others are timed: `python3 build.py siege [ATTACK...]`.

Each round of an attack has its own runtime, first without the attacker, then with. What counts is
how much later the 99th of 100 answers to others comes; the median of all rounds is compared with a
bound.
"""
