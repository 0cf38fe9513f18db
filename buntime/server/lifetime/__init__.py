"""How a running runtime receives signals, reads its settings again, and shuts down."""
