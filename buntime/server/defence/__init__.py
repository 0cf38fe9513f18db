"""What keeps apps out of the runtime: its memory, its key, and files that apps decide about."""
