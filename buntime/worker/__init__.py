"""The worker process: load one app, adapt it to one call shape, loop. [3.9, stdlib only]"""
