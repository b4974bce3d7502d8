//! The file: opened, made, brought up to date, or put aside if it is damaged.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params};

use crate::salvage::salvage;
use crate::{Note, StoreError, schema};

/// Another program may look at the file (backups, dashboards); it is waited for so long.
const BUSY: Duration = Duration::from_secs(5);

/// `dbmaxmatches` unless it is set.
const MAX_MATCHES: usize = 10;

/// What must be readable, whichever version has made it.
const NEEDED: &[&str] = &[
    "SELECT name, enabled FROM jails",
    "SELECT jail, path, firstlinemd5, lastfilepos FROM logs",
    "SELECT jail, ip, timeofban, bantime, bancount, data FROM bans",
    "SELECT ip, jail, timeofban, bantime, bancount, data FROM bips",
];

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In memory: it ends with the server (`dbfile = :memory:`).
    Memory,
}

impl Place {
    /// What `dbfile` says; `None` if there is to be no database.
    pub fn parse(dbfile: &str) -> Option<Self> {
        match dbfile.trim() {
            ":memory:" => Some(Self::Memory),
            none if none.is_empty() || none.eq_ignore_ascii_case("none") => None,
            path => Some(Self::File(path.into())),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory => f.write_str(":memory:"),
        }
    }
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    max_matches: usize,
}

impl Store {
    /// Opens a database, makes it if there is none, brings an older one up to date, and puts a damaged one aside.
    ///
    /// `stamp` is the time as `YYYYmmdd-HHMMSS`, for the names of copies. No jail is enabled in it then.
    pub fn open(place: &Place, stamp: &str) -> Result<(Self, Vec<Note>), StoreError> {
        let mut notes = Vec::new();
        let store = match place {
            Place::Memory => Self::of(Connection::open_in_memory()?)?,
            Place::File(path) => match Self::open_file(path, stamp, &mut notes) {
                Err(error) if error.is_damage() => Self::replace(path, stamp, &error.to_string(), &mut notes)?,
                outcome => outcome?,
            },
        };
        if schema::version(&store.connection)?.is_none() {
            notes.push(Note::Created);
        }
        schema::create(&store.connection)?;
        store.run("UPDATE jails SET enabled = 0 WHERE enabled != 0", [])?;
        notes.insert(0, Note::Connected(place.to_string()));
        Ok((store, notes))
    }

    /// Puts the file aside although it could be opened: something in it turned out to be damaged.
    pub fn renew(self, path: &Path, stamp: &str, why: &StoreError) -> Result<(Self, Vec<Note>), StoreError> {
        let max_matches = self.max_matches;
        // A failure to close leaves nothing that renaming would lose.
        drop(self.connection);
        let mut notes = Vec::new();
        let mut store = Self::replace(path, stamp, &why.to_string(), &mut notes)?;
        store.max_matches = max_matches;
        Ok((store, notes))
    }

    /// How many log lines of a ban are stored (`dbmaxmatches`).
    pub fn max_matches(&self) -> usize {
        self.max_matches
    }

    /// Sets how many log lines of a ban are stored from now on.
    pub fn set_max_matches(&mut self, number: usize) {
        self.max_matches = number;
    }

    /// Begins to group what is written, if that has not begun.
    pub fn begin(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(())
    }

    /// Writes the group.
    pub fn commit(&self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// Undoes the group.
    pub fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // It fails only if the group is undone already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs a statement that gives no rows.
    pub(crate) fn run(&self, sql: &str, parameters: impl Params) -> Result<(), StoreError> {
        self.connection.prepare(sql)?.execute(parameters)?;
        Ok(())
    }

    fn of(connection: Connection) -> Result<Self, StoreError> {
        connection.busy_timeout(BUSY)?;
        // The rollback journal stands in a file, unlike upstream's: a server that is killed must not leave half a write behind. Nothing of this
        // is stored in the database, so that upstream finds it as it made it.
        connection.execute_batch(
            "PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=ON; PRAGMA journal_mode=DELETE; PRAGMA synchronous=NORMAL; \
             PRAGMA temp_store=MEMORY;",
        )?;
        Ok(Self {
            connection,
            max_matches: MAX_MATCHES,
        })
    }

    fn connect(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(path, flags)
            .map_err(StoreError::Sql)
            .and_then(Self::of)
            .map_err(|error| match error {
                StoreError::Sql(error) => StoreError::Open {
                    path: path.to_owned(),
                    error,
                },
                other => other,
            })
    }

    fn open_file(path: &Path, stamp: &str, notes: &mut Vec<Note>) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| StoreError::Folder {
                path: folder.to_owned(),
                error,
            })?;
        }
        let store = Self::connect(path)?;
        if let Some(fault) = fault(&store.connection)? {
            drop(store);
            return Self::replace(path, stamp, &fault, notes);
        }
        let Some(version) = schema::version(&store.connection)? else {
            return Ok(store);
        };
        if version > schema::VERSION {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        if version < schema::VERSION {
            let copy = free_name(path, stamp);
            // Without a copy the change is still whole or not made at all.
            if fs::copy(path, &copy).is_ok() {
                notes.push(Note::BackedUp { from: version, copy });
            }
            schema::migrate(&store.connection, version)?;
            notes.push(Note::Upgraded { from: version });
        }
        schema::create(&store.connection)?;
        let foreign = NEEDED.iter().find_map(|sql| store.connection.prepare(sql).err());
        if let Some(error) = foreign {
            drop(store);
            return Self::replace(
                path,
                stamp,
                &format!("its tables are not those of Fail2Ban: {error}"),
                notes,
            );
        }
        Ok(store)
    }

    /// Puts a damaged file aside and begins a new one with what can be read of it.
    fn replace(path: &Path, stamp: &str, why: &str, notes: &mut Vec<Note>) -> Result<Self, StoreError> {
        let aside = free_name(path, stamp);
        let moved = fs::rename(path, &aside).map_err(|error| StoreError::PutAside {
            path: path.to_owned(),
            error,
        });
        moved?;
        for end in ["-journal", "-wal", "-shm"] {
            // Nearly always there is none; the database is read without it then.
            let _ = fs::rename(with_end(path, end), with_end(&aside, end));
        }
        let store = Self::connect(path)?;
        schema::create(&store.connection)?;
        let kept = salvage(&store, &aside)?;
        notes.push(Note::Damaged {
            path: path.to_owned(),
            why: why.to_owned(),
            aside,
            bans: kept.bans,
            logs: kept.logs,
        });
        Ok(store)
    }
}

/// What SQLite finds wrong with a file, if anything is.
fn fault(connection: &Connection) -> Result<Option<String>, StoreError> {
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    for line in found {
        let line = line?;
        // Rows that break the rules of their table can be read.
        if line != "ok" && !line.starts_with("NULL value") {
            return Ok(Some(line.replace('\n', "; ")));
        }
    }
    Ok(None)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

/// The name of a copy that is not taken.
fn free_name(path: &Path, stamp: &str) -> PathBuf {
    let first = with_end(path, &format!(".{stamp}"));
    let more = (1..100).map(|number| with_end(&first, &format!(".{number}")));
    let free = std::iter::once(first.clone()).chain(more).find(|name| !name.exists());
    free.unwrap_or(first)
}
