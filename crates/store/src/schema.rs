//! The tables, as Fail2Ban makes them, and how older ones become these.
//!
//! Upstream: behaviour spec 8.2 and 8.4, compared with files that 1.0.2 has made.

use rusqlite::Connection;

/// The version of the tables, which all Fail2Ban since 0.11 know.
pub(crate) const VERSION: i64 = 4;

/// The order is that of upstream, so that a dump of both reads the same.
const TABLES: &str = "\
CREATE TABLE IF NOT EXISTS fail2banDb(version INTEGER);
CREATE TABLE IF NOT EXISTS jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS jails_name ON jails(name);
CREATE TABLE IF NOT EXISTS logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0, \
 FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE, UNIQUE(jail, path), UNIQUE(jail, path, firstlinemd5));
CREATE INDEX IF NOT EXISTS logs_path ON logs(path);
CREATE INDEX IF NOT EXISTS logs_jail_path ON logs(jail, path);
CREATE TABLE IF NOT EXISTS bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, \
 bancount INTEGER NOT NULL DEFAULT 1, data JSON, FOREIGN KEY(jail) REFERENCES jails(name));
CREATE INDEX IF NOT EXISTS bans_jail_timeofban_ip ON bans(jail, timeofban);
CREATE INDEX IF NOT EXISTS bans_jail_ip ON bans(jail, ip);
CREATE INDEX IF NOT EXISTS bans_ip ON bans(ip);
CREATE TABLE IF NOT EXISTS bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, \
 bancount INTEGER NOT NULL DEFAULT 1, data JSON, PRIMARY KEY(ip, jail), FOREIGN KEY(jail) REFERENCES jails(name));
CREATE INDEX IF NOT EXISTS bips_timeofban ON bips(timeofban);
CREATE INDEX IF NOT EXISTS bips_ip ON bips(ip);
";

/// Version 1 knew a log by its path alone.
const FROM_1: &str = "\
ALTER TABLE logs RENAME TO logs_before;
DROP INDEX IF EXISTS logs_path;
DROP INDEX IF EXISTS logs_jail_path;
CREATE TABLE logs(jail TEXT NOT NULL, path TEXT, firstlinemd5 TEXT, lastfilepos INTEGER DEFAULT 0, \
 FOREIGN KEY(jail) REFERENCES jails(name) ON DELETE CASCADE, UNIQUE(jail, path), UNIQUE(jail, path, firstlinemd5));
INSERT OR IGNORE INTO logs SELECT jail, path, firstlinemd5, lastfilepos FROM logs_before;
DROP TABLE logs_before;
";

/// Versions 1 and 2 did not know how long a ban lasts: -2 stands for that.
const FROM_2: &str = "\
ALTER TABLE bans RENAME TO bans_before;
DROP INDEX IF EXISTS bans_jail_timeofban_ip;
DROP INDEX IF EXISTS bans_jail_ip;
DROP INDEX IF EXISTS bans_ip;
CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, \
 bancount INTEGER NOT NULL DEFAULT 1, data JSON, FOREIGN KEY(jail) REFERENCES jails(name));
INSERT INTO bans SELECT jail, ip, timeofban, -2, 1, data FROM bans_before;
DROP TABLE bans_before;
";

/// Version 3 had no table of the latest ban of each address. The last row of the same time wins, as it does when they are written.
const FROM_3: &str = "\
INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime, bancount, data)
 SELECT ip, jail, timeofban, bantime, bancount, data FROM bans WHERE ip IS NOT NULL ORDER BY timeofban, rowid;
";

/// Makes the tables that are missing, and says which version the file now has; an empty one gets ours.
pub(crate) fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;\n{TABLES}\
         INSERT INTO fail2banDb(version) SELECT {VERSION} WHERE NOT EXISTS (SELECT 1 FROM fail2banDb);\nCOMMIT;"
    ))
}

/// Brings the tables of an older version up to date; all of it or nothing.
pub(crate) fn migrate(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    let mut steps = String::from("PRAGMA foreign_keys=OFF;\nPRAGMA legacy_alter_table=ON;\nBEGIN IMMEDIATE;\n");
    if from < 2 {
        steps.push_str(FROM_1);
    }
    if from < 3 {
        steps.push_str(FROM_2);
    }
    steps.push_str(TABLES);
    if from < 4 {
        steps.push_str(FROM_3);
    }
    let end = format!(
        "UPDATE fail2banDb SET version = {VERSION};\nCOMMIT;\nPRAGMA legacy_alter_table=OFF;\nPRAGMA foreign_keys=ON;"
    );
    steps.push_str(&end);
    let outcome = connection.execute_batch(&steps);
    if outcome.is_err() {
        // The error that matters is the first.
        let _ = connection.execute_batch("ROLLBACK");
    }
    outcome
}

/// The version of the tables; `None` if there are none.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let known: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'fail2banDb')",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(None);
    }
    connection.query_row("SELECT max(CAST(version AS INTEGER)) FROM fail2banDb", [], |row| {
        row.get(0)
    })
}
