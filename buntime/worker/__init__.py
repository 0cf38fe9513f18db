"""The worker process: load one app, adapt it to one call shape, loop. Python >= 3.9, stdlib only."""
