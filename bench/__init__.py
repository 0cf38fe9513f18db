"""Measures Buntime beside its alternatives: `python3 build.py bench`.

__main__.py      the command: what is measured, how long, where the results go
scenarios.py     what is measured, and the bars
contestants.py   who is measured: Buntime, others, limits; servers.py starts and ends them
loads.py         how a served contestant is checked and measured; wrk.py, clients.py: the clients
fresh.py         measurements of a process that has just started: time, memory
limits.py        bare interpreter spawns; bareloop.py, relay.py: the other limits, as processes
rounds.py        takes the measurements, in turn
figures.py       medians, spreads, ratios, verdicts
results.py       what a run keeps; report.py, chart.py show it
machine.py       where it was measured
sites.py         lays out the apps of apps/; peers.py: the same for WSGI and ASGI servers
"""
