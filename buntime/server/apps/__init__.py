"""App folders on disk: found, read, watched."""
