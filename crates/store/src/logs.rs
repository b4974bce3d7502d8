//! Where reading of each log ended.

use rusqlite::params;
use stockade_core::{JailName, Timestamp};

use crate::file::Store;
use crate::{StoreError, value};

/// The path under which the place in the journal stands.
pub const JOURNAL: &str = "systemd-journal";

/// Where a jail ended reading a log, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// The jail.
    pub jail: String,
    /// The log, or [`JOURNAL`].
    pub path: String,
    /// The SHA-1 of its first line in hexadecimal digits; empty if it had none. For the journal the time of the last entry, as text.
    pub first_line: String,
    /// Bytes from the beginning. For the journal microseconds since 1970.
    pub position: i64,
}

impl Store {
    /// All places in logs that are known.
    pub fn logs(&self) -> Result<Vec<LogRow>, StoreError> {
        let mut statement = self
            .connection()
            .prepare("SELECT jail, path, firstlinemd5, lastfilepos FROM logs")?;
        let mut rows = statement.query([])?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let (Some(jail), Some(path)) = (value::text(row.get_ref(0)?), value::text(row.get_ref(1)?)) else {
                continue;
            };
            let position = if path == JOURNAL {
                micros(row.get_ref(3)?)
            } else {
                value::integer(row.get_ref(3)?)
            };
            let Some(position) = position.filter(|position| *position >= 0) else {
                continue;
            };
            places.push(LogRow {
                jail: jail.to_owned(),
                path: path.to_owned(),
                first_line: value::text(row.get_ref(2)?).unwrap_or_default().to_owned(),
                position,
            });
        }
        Ok(places)
    }

    /// Stores where reading of a log ended.
    pub fn set_log(&self, jail: &JailName, path: &str, first_line: &str, position: u64) -> Result<(), StoreError> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.place(jail, path, first_line, &position)
    }

    /// Stores the time of the last entry of the journal that was read; `shown` is the same as text.
    pub fn set_journal(&self, jail: &JailName, at: Timestamp, shown: &str) -> Result<(), StoreError> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the column holds seconds as a float, exact to a microsecond for 200 years"
        )]
        let seconds = at.micros() as f64 / 1e6;
        self.place(jail, JOURNAL, shown, &seconds)
    }

    fn place(
        &self,
        jail: &JailName,
        path: &str,
        first_line: &str,
        position: &dyn rusqlite::ToSql,
    ) -> Result<(), StoreError> {
        // Not an upsert: older files may lack the constraint that it needs.
        let known = self
            .connection()
            .prepare("UPDATE logs SET firstlinemd5 = ?3, lastfilepos = ?4 WHERE jail = ?1 AND path = ?2")?
            .execute(params![jail.as_str(), path, first_line, position])?;
        if known == 0 {
            self.run(
                "INSERT INTO logs(jail, path, firstlinemd5, lastfilepos) VALUES (?1, ?2, ?3, ?4)",
                params![jail.as_str(), path, first_line, position],
            )?;
        }
        Ok(())
    }
}

/// Seconds with a fraction, as microseconds.
fn micros(value: rusqlite::types::ValueRef<'_>) -> Option<i64> {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "the bounds are checked")]
        rusqlite::types::ValueRef::Real(seconds) if (0.0..1e12).contains(&seconds) => {
            Some((seconds * 1e6).round() as i64)
        }
        other => value::integer(other)?.checked_mul(1_000_000),
    }
}
