//! Bans: written when they are made, read at the next start.

use rusqlite::params;
use stockade_core::offenders::LatestBan;
use stockade_core::{Ban, FailureId, JailName, Seconds, Timestamp, Until};

use crate::file::Store;
use crate::{StoreError, data, value};

/// The end of the year 9999, which is as far as Fail2Ban can write a time.
const LAST_SECOND: i64 = 253_402_300_799;

impl Store {
    /// Whether a jail is there. Places in logs and bans can be stored only of jails that were once enabled.
    pub fn set_enabled(&self, jail: &JailName, enabled: bool) -> Result<(), StoreError> {
        if enabled {
            self.run(
                "INSERT INTO jails(name, enabled) VALUES (?1, 1) ON CONFLICT(name) DO UPDATE SET enabled = 1",
                params![jail.as_str()],
            )
        } else {
            self.run("UPDATE jails SET enabled = 0 WHERE name = ?1", params![jail.as_str()])
        }
    }

    /// Stores a ban that was made.
    pub fn add_ban(&self, jail: &JailName, ban: &Ban) -> Result<(), StoreError> {
        let (id, since, count) = (ban.id.to_string(), seconds(ban.since), i64::from(ban.count.max(1)));
        let data = data::write(ban, self.max_matches());
        self.run(
            "INSERT INTO bans(jail, ip, timeofban, bantime, bancount, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![jail.as_str(), id, since, ban.bantime.0, count, data],
        )?;
        self.run(
            "INSERT OR REPLACE INTO bips(ip, jail, timeofban, bantime, bancount, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![id, jail.as_str(), since, ban.bantime.0, count, data],
        )
    }

    /// Stores that a ban lasts longer than it was said before.
    pub fn prolong(&self, jail: &JailName, ban: &Ban) -> Result<(), StoreError> {
        self.run(
            "UPDATE bips SET bantime = ?3 WHERE ip = ?1 AND jail = ?2",
            params![ban.id.to_string(), jail.as_str(), ban.bantime.0],
        )
    }

    /// Forgets a ban, or all of the jail, because an operator lifted it.
    pub fn forget(&self, jail: &JailName, id: Option<&FailureId>) -> Result<(), StoreError> {
        for table in ["bans", "bips"] {
            match id {
                Some(id) => self.run(
                    &format!("DELETE FROM {table} WHERE jail = ?1 AND ip = ?2"),
                    params![jail.as_str(), id.to_string()],
                )?,
                None => self.run(&format!("DELETE FROM {table} WHERE jail = ?1"), params![jail.as_str()])?,
            }
        }
        Ok(())
    }

    /// The bans of a jail that are not over by what they were made for, in the order in which they were made. They are marked as restored,
    /// and count one more. How long the jail bans now is not looked at here. Upstream: behaviour spec 4.5.
    pub fn restorable(&self, jail: &JailName, now: Timestamp) -> Result<Vec<Ban>, StoreError> {
        let mut statement = self.connection().prepare(
            "SELECT ip, timeofban, bantime, bancount, iif(length(data) <= 4194304, data, NULL) FROM bips \
             WHERE jail = ?1 AND (bantime < 0 OR timeofban + bantime >= ?2) ORDER BY timeofban, rowid",
        )?;
        let mut rows = statement.query(params![jail.as_str(), now.secs()])?;
        let mut bans = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(id) = value::id(row.get_ref(0)?) else { continue };
            let Some(since) = value::integer(row.get_ref(1)?).filter(|since| (0..=LAST_SECOND).contains(since)) else {
                continue;
            };
            // -2 is a ban of which nobody knows how long it lasts: as long as the jail bans.
            let Some(bantime) = value::integer(row.get_ref(2)?) else {
                continue;
            };
            let bantime = Seconds(bantime.clamp(-1, LAST_SECOND));
            let count = value::integer(row.get_ref(3)?).unwrap_or(1).max(1);
            let data = data::read(value::bytes(row.get_ref(4)?));
            let since = Timestamp::from_secs(since);
            bans.push(Ban {
                id,
                since,
                until: Until::after(since, bantime),
                bantime,
                failures: data.failures,
                matches: data.matches,
                fields: data.fields,
                count: u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1),
                restored: true,
            });
        }
        Ok(bans)
    }
}

impl Store {
    /// The latest ban of everybody in every jail, the most recent first, at most `most`.
    pub fn latest_bans(&self, most: usize) -> Result<Vec<(JailName, FailureId, LatestBan)>, StoreError> {
        let mut statement = self.connection().prepare(
            "SELECT jail, ip, timeofban, bantime, bancount FROM bips ORDER BY timeofban DESC, rowid DESC LIMIT ?1",
        )?;
        let mut rows = statement.query(params![i64::try_from(most).unwrap_or(i64::MAX)])?;
        let mut bans = Vec::new();
        while let Some(row) = rows.next()? {
            let Some(jail) = value::text(row.get_ref(0)?).and_then(JailName::new) else {
                continue;
            };
            let Some(id) = value::id(row.get_ref(1)?) else { continue };
            let (since, bantime) = (value::integer(row.get_ref(2)?), value::integer(row.get_ref(3)?));
            let Some((since, bantime)) = since.filter(|since| (0..=LAST_SECOND).contains(since)).zip(bantime) else {
                continue;
            };
            let count = value::integer(row.get_ref(4)?).unwrap_or(1).max(1);
            bans.push((
                jail,
                id,
                LatestBan {
                    since: Timestamp::from_secs(since),
                    bantime: Seconds(bantime),
                    count: u32::try_from(count).unwrap_or(u32::MAX),
                },
            ));
        }
        Ok(bans)
    }
}

/// The nearest second, which is what upstream stores.
fn seconds(at: Timestamp) -> i64 {
    at.rounded().secs()
}
