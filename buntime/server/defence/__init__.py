"""What protects the runtime from apps: its memory, its key, and files that apps control."""
