//! What is known of somebody from earlier bans, for the tags `<ipmatches>`, `<ipfailures>` and their kin.

use rusqlite::params;
use stockade_core::{FailureId, JailName, LineText, Timestamp};

use crate::file::Store;
use crate::{StoreError, data, value};

/// Of so many rows at most; the latest.
const MOST_ROWS: i64 = 1000;

/// All bans of one id, merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The failures of all.
    pub failures: u64,
    /// The log lines of all, oldest first.
    pub matches: Vec<LineText>,
}

impl Store {
    /// What the bans of an id since a time come to, in one jail or in all.
    pub fn history(&self, id: &FailureId, jail: Option<&JailName>, since: Timestamp) -> Result<History, StoreError> {
        let mut statement = self.connection().prepare(
            "SELECT data FROM (SELECT iif(length(data) <= 4194304, data, NULL) AS data, timeofban, rowid AS number FROM bans \
             WHERE ip = ?1 AND (?2 IS NULL OR jail = ?2) AND timeofban > ?3 ORDER BY timeofban DESC, rowid DESC LIMIT ?4) \
             ORDER BY timeofban, number",
        )?;
        let mut rows = statement.query(params![
            id.to_string(),
            jail.map(JailName::as_str),
            since.secs(),
            MOST_ROWS
        ])?;
        let mut history = History::default();
        while let Some(row) = rows.next()? {
            let data = data::read(value::bytes(row.get_ref(0)?));
            history.failures = history.failures.saturating_add(u64::from(data.failures));
            history.matches.extend(data.matches);
        }
        // Of all bans together no more lines are kept than of one.
        let from = history.matches.len().saturating_sub(self.max_matches());
        history.matches.drain(..from);
        Ok(history)
    }
}
