"""Listening sockets, connections of clients, and the exchanges on them."""
