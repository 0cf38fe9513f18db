"""What touches the world: sockets, processes, files, threads."""
