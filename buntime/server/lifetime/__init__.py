"""How a running runtime is told things and ends: signals, settings read again, shutdown."""
