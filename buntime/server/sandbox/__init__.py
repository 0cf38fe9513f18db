"""What the runtime does for the sandboxes of its workers: it looks, lists and makes folders."""
