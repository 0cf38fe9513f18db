"""Static sites: files opened inside their folder, and sent."""
