"""The tables, by migrations: each turns one version of the schema into the next.

A released migration is never changed. `PRAGMA user_version` is how many have run.
"""

from __future__ import annotations

MIGRATIONS = (
    """
    CREATE TABLE spaces (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        entries INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE entries (
        space INTEGER NOT NULL,
        key BLOB NOT NULL,
        kind INTEGER NOT NULL,
        value BLOB NOT NULL,
        version INTEGER NOT NULL,
        expires REAL,
        PRIMARY KEY (space, key)
    ) WITHOUT ROWID;
    CREATE INDEX expiring ON entries (expires) WHERE expires IS NOT NULL;
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        space INTEGER NOT NULL,
        queue TEXT NOT NULL,
        dead INTEGER NOT NULL DEFAULT 0,
        ready REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        most INTEGER NOT NULL,
        receipt INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        kind INTEGER NOT NULL,
        value BLOB NOT NULL
    );
    CREATE INDEX waiting ON messages (space, queue, dead, ready, id);
    """,
    # A message counts with the name of its queue and its reason.
    """
    UPDATE spaces SET bytes = bytes + (
        SELECT coalesce(sum(length(CAST(queue AS BLOB)) + length(CAST(reason AS BLOB))), 0)
        FROM messages WHERE messages.space = spaces.id
    )
    """,
)
