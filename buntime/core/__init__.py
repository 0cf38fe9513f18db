"""Values, state tables and decisions: no I/O, no clock, no threads."""
