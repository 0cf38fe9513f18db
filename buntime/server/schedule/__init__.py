"""What apps do without being asked: jobs by the clock, and processes that run all the time."""
