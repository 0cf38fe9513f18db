"""The tables of state.db, as a script for each step from an empty file to what there is now.

A script's position is its number: a file with `PRAGMA user_version` 3 has had the first three. A
released script is never changed; changes to existing tables are new scripts at the end. Those that
a file lacks run in one transaction together with the change of the number, so none begins one.
"""

SCRIPTS = (
    # 1: what the file says about itself: `written_by`, the version of buntime that last changed the
    # tables, for a version that finds them newer than it knows.
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
    # 2: operators' keys, see server/admin/keystore.py. Times are seconds since 1970.
    """CREATE TABLE keys (
        name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, hint TEXT NOT NULL,
        roles TEXT NOT NULL, apps TEXT NOT NULL,
        created_at REAL NOT NULL, created_by TEXT NOT NULL,
        expires_at REAL, used_at REAL, revoked_at REAL
    ) WITHOUT ROWID;""",
    # 3: apps that operators have closed for a while, see server/admin/maintenance.py.
    """CREATE TABLE maintenance (
        app TEXT PRIMARY KEY, since REAL NOT NULL, message TEXT NOT NULL,
        retry_after INTEGER NOT NULL
    ) WITHOUT ROWID;""",
    # 4: the audit trail. `entry` is what is hashed; the columns before it are for filters.
    """
    CREATE TABLE audit (
      number INTEGER PRIMARY KEY,
      at REAL NOT NULL,
      actor TEXT NOT NULL,
      action TEXT NOT NULL,
      app TEXT,
      entry TEXT NOT NULL,
      hash TEXT NOT NULL
    );
    CREATE INDEX audit_by_actor ON audit (actor, number);
    CREATE INDEX audit_by_action ON audit (action, number);
    CREATE INDEX audit_by_app ON audit (app, number);
    """,
    # 5: jobs of apps, see server/schedule/keeping.py: up to when their schedules have been handled,
    # and the results of the last runs.
    """CREATE TABLE cron_jobs (
        app TEXT NOT NULL, name TEXT NOT NULL, schedule TEXT NOT NULL, timezone TEXT NOT NULL,
        since REAL NOT NULL, PRIMARY KEY (app, name)
    ) WITHOUT ROWID;
    CREATE TABLE cron_runs (
        app TEXT NOT NULL, name TEXT NOT NULL, ended_at REAL NOT NULL, at REAL NOT NULL,
        seconds REAL NOT NULL, result TEXT NOT NULL, detail TEXT NOT NULL
    );
    CREATE INDEX cron_runs_of ON cron_runs (app, name, ended_at);""",
    # 6: which app had a host first, see server/state/hostclaims.py.
    """CREATE TABLE hosts (
        host TEXT PRIMARY KEY, app TEXT NOT NULL, since REAL NOT NULL
    ) WITHOUT ROWID;""",
    # 7: the last deploys, as the API reports them, see server/deploys/history.py.
    "CREATE TABLE deploys (id TEXT PRIMARY KEY, at REAL NOT NULL, told TEXT NOT NULL);",
    # 8: operators' sessions, see server/admin/operatorsessions.py. Times are seconds since 1970.
    """CREATE TABLE sessions (
        digest BLOB PRIMARY KEY, source TEXT NOT NULL, name TEXT NOT NULL, proof BLOB NOT NULL,
        created_at REAL NOT NULL, used_at REAL NOT NULL, expires_at REAL
    ) WITHOUT ROWID;""",
    # 9: changes that have begun and not ended, see server/state/audittable.py.
    "CREATE TABLE audit_open (number INTEGER PRIMARY KEY, run TEXT NOT NULL);",
)
