"""WebSocket without sockets: handshake, frames, compression, heartbeat."""
