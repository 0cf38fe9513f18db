"""Everything that touches the outside world: sockets, processes, files, threads."""
