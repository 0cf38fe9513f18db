"""HTTP/1.1 without sockets: heads, bodies, answers, forwarding."""
