//! What can be wrong with a database, and what an operator should know of its opening.

use std::fmt;
use std::path::PathBuf;

use stockade_core::Level;

/// Why something could not be done.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be opened or made.
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// The folder of the file cannot be made.
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A program of the future has written it.
    Newer {
        /// Which.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },
    /// A damaged file could not be put aside.
    PutAside {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A statement failed.
    Sql(rusqlite::Error),
}

impl StoreError {
    /// Whether the file itself is damaged, so that only putting it aside helps.
    pub fn is_damage(&self) -> bool {
        let (Self::Open { error, .. } | Self::Sql(error)) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        )
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, error } => write!(
                f,
                "the database {} cannot be opened: {error}; mend: check its rights and the space on its disk, or set dbfile = None",
                path.display()
            ),
            Self::Folder { path, error } => write!(
                f,
                "the folder {} of the database cannot be made: {error}; mend: make it, or set dbfile to another place",
                path.display()
            ),
            Self::Newer { path, version } => write!(
                f,
                "the database {} has version {version}, of a program newer than this one, and is left alone; mend: update Stockade, or set \
                 dbfile to another place",
                path.display()
            ),
            Self::PutAside { path, error } => write!(
                f,
                "the damaged database {} cannot be put aside: {error}; mend: move it away by hand",
                path.display()
            ),
            Self::Sql(error) => write!(f, "the database cannot be read or written: {error}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// What happened while a database was opened, in Fail2Ban's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is open.
    Connected(String),
    /// There was none.
    Created,
    /// A copy was made before its tables were changed.
    BackedUp {
        /// The version it had.
        from: i64,
        /// Where the copy is.
        copy: PathBuf,
    },
    /// Its tables were those of an older version.
    Upgraded {
        /// The version it had.
        from: i64,
    },
    /// It was damaged.
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where it is now.
        aside: PathBuf,
        /// How many bans of each kind, and places in logs, could be read of it.
        bans: usize,
        /// Places in logs.
        logs: usize,
    },
}

impl Note {
    /// How grave it is.
    pub fn level(&self) -> Level {
        match self {
            Self::Connected(_) | Self::BackedUp { .. } => Level::Info,
            Self::Created | Self::Upgraded { .. } => Level::Warning,
            Self::Damaged { .. } => Level::Error,
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = crate::schema::VERSION;
        match self {
            Self::Connected(place) => write!(f, "Connected to fail2ban persistent database '{place}'"),
            Self::Created => write!(f, "New database created. Version '{version}'"),
            Self::BackedUp { from, copy } => write!(
                f,
                "  Database backup created: {} (the tables are of version '{from}')",
                copy.display()
            ),
            Self::Upgraded { from } => write!(f, "Database updated from '{from}' to '{version}'"),
            Self::Damaged {
                path,
                why,
                aside,
                bans,
                logs,
            } => write!(
                f,
                "the database {} is damaged: {why}; it was put aside as {}; a new one goes on with what could be read of it: {bans} bans, \
                 {logs} places in logs; mend: none needed, look at the disk",
                path.display(),
                aside.display()
            ),
        }
    }
}
