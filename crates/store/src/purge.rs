//! Forgetting what is old, so that the file does not grow for ever.

use rusqlite::params;
use stockade_core::{Seconds, Timestamp};

use crate::StoreError;
use crate::file::Store;

/// The file is written anew when so much of it is unused: a quarter, and at least 64 pages (256 KiB).
const UNUSED_PAGES: i64 = 64;

impl Store {
    /// Removes bans older than `age` that nothing needs any more, and jails that are gone with all their bans; how many rows.
    ///
    /// Upstream: behaviour spec 8.3.
    pub fn purge(&self, now: Timestamp, age: Seconds) -> Result<usize, StoreError> {
        let oldest = (now - age).secs();
        let connection = self.connection();
        let rows = connection.execute("DELETE FROM bans WHERE timeofban < ?1", params![oldest])?
            + connection.execute(
                "DELETE FROM bips WHERE timeofban < ?1 AND bantime != -1 AND timeofban + bantime * 3 < ?1",
                params![oldest],
            )?
            + connection.execute(
                "DELETE FROM jails WHERE enabled = 0 AND NOT EXISTS (SELECT 1 FROM bans WHERE bans.jail = jails.name) \
                 AND NOT EXISTS (SELECT 1 FROM bips WHERE bips.jail = jails.name)",
                [],
            )?;
        Ok(rows)
    }

    /// Gives unused pages back to the disk, if there are many; how many. Not within a transaction. Upstream never does (its issues 2918, 3946).
    pub fn shrink(&self) -> Result<i64, StoreError> {
        let pages = |name: &str| -> Result<i64, StoreError> {
            Ok(self
                .connection()
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))?)
        };
        let (unused, all) = (pages("freelist_count")?, pages("page_count")?);
        if unused < UNUSED_PAGES || unused < all / 4 {
            return Ok(0);
        }
        self.connection().execute_batch("VACUUM")?;
        Ok(all.saturating_sub(pages("page_count")?))
    }
}
