//! What can be read of a damaged file.
//!
//! Rows are read by their numbers; where that fails, the next number that can be read is looked for, so that a damaged page costs its own rows.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::StoreError;
use crate::file::Store;

/// A file with more damaged places than this is given up.
const MOST_GAPS: usize = 10_000;

/// How much was kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) bans: usize,
    pub(crate) logs: usize,
}

/// Copies into `store` what can be read of the file `from`.
pub(crate) fn salvage(store: &Store, from: &Path) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(damaged) = Connection::open_with_flags(from, flags) else {
        return Ok(kept);
    };
    // A damaged schema is still one.
    let _ = damaged.execute_batch("PRAGMA writable_schema=ON; PRAGMA trusted_schema=OFF;");
    store.begin()?;
    for (sql, table) in [
        ("jail, path, firstlinemd5, lastfilepos", "logs"),
        ("jail, ip, timeofban, bantime, bancount, data", "bans"),
        ("jail, ip, timeofban, bantime, bancount, data", "bips"),
    ] {
        let mut outcome = Ok(());
        each_row(&damaged, table, sql, &mut |values| {
            if outcome.is_ok() {
                outcome = keep(store, table, values, &mut kept);
            }
        });
        outcome?;
    }
    store.commit()?;
    Ok(kept)
}

fn keep(store: &Store, table: &str, values: &[Value], kept: &mut Kept) -> Result<(), StoreError> {
    let Some(Value::Text(jail)) = values.first() else {
        return Ok(());
    };
    store.run(
        "INSERT OR IGNORE INTO jails(name, enabled) VALUES (?1, 0)",
        params![jail],
    )?;
    let known = "INSERT OR IGNORE INTO";
    match values {
        [jail, path, first_line, position] if table == "logs" => {
            kept.logs += 1;
            store.run(
                &format!("{known} logs(jail, path, firstlinemd5, lastfilepos) VALUES (?1, ?2, ?3, ?4)"),
                params![jail, path, first_line, position],
            )
        }
        [jail, ip, since, bantime, count, data] => {
            // Rows that lack what the table asks for are no loss.
            let numbers = [since, bantime, count].map(|value| matches!(value, Value::Integer(_) | Value::Real(_)));
            if numbers.contains(&false) || !matches!(ip, Value::Text(_)) {
                return Ok(());
            }
            if table == "bans" {
                store.run(
                    "INSERT INTO bans(jail, ip, timeofban, bantime, bancount, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    params![jail, ip, since, bantime, count, data],
                )?;
            }
            kept.bans += usize::from(table == "bips");
            // The table of latest bans may be what is damaged: the other one tells most of it.
            store.run(
                "INSERT INTO bips(jail, ip, timeofban, bantime, bancount, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT(ip, jail) DO UPDATE SET timeofban = excluded.timeofban, bantime = excluded.bantime, \
                 bancount = excluded.bancount, data = excluded.data WHERE excluded.timeofban >= bips.timeofban",
                params![jail, ip, since, bantime, count, data],
            )
        }
        _ => Ok(()),
    }
}

/// Gives every row that can be read.
fn each_row(damaged: &Connection, table: &str, columns: &str, out: &mut dyn FnMut(&[Value])) {
    let mut next = i64::MIN;
    for _ in 0..MOST_GAPS {
        match read_from(damaged, table, columns, next, i64::MAX, out) {
            Ok(_) => return,
            Err(last) => {
                let failed = last.map_or(next, |last| last.saturating_add(1));
                let Some(good) = after_gap(damaged, table, columns, failed) else {
                    return;
                };
                next = good;
            }
        }
    }
}

/// Reads rows from a number on; the last number read, which is the error's too.
fn read_from(
    damaged: &Connection,
    table: &str,
    columns: &str,
    from: i64,
    most: i64,
    out: &mut dyn FnMut(&[Value]),
) -> Result<Option<i64>, Option<i64>> {
    let mut last = None;
    let sql = format!("SELECT rowid, {columns} FROM {table} WHERE rowid >= ?1 ORDER BY rowid LIMIT ?2");
    let mut statement = damaged.prepare(&sql).map_err(|_| last)?;
    let mut rows = statement.query(params![from, most]).map_err(|_| last)?;
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let Ok(number) = row.get::<_, i64>(0) else {
                    return Err(last);
                };
                let values = values(row);
                last = Some(number);
                if let Some(values) = values {
                    out(&values);
                }
            }
            Ok(None) => return Ok(last),
            Err(_) => return Err(last),
        }
    }
}

fn values(row: &Row<'_>) -> Option<Vec<Value>> {
    (1..row.as_ref().column_count())
        .map(|column| row.get::<_, Value>(column).ok())
        .collect()
}

/// The first number behind a gap from which a row can be read; `None` if there is none.
fn after_gap(damaged: &Connection, table: &str, columns: &str, failed: i64) -> Option<i64> {
    let readable = |from: i64| read_from(damaged, table, columns, from, 1, &mut |_| {});
    let base = failed.max(0);
    let (mut bad, mut good) = (base, None);
    let mut step = 1_i64;
    while step < 1 << 40 {
        match readable(base + step) {
            Ok(Some(_)) => {
                good = Some(base + step);
                break;
            }
            Ok(None) => return None,
            Err(_) => bad = base + step,
        }
        step *= 2;
    }
    let mut good = good?;
    while good - bad > 1 {
        let middle = bad + (good - bad) / 2;
        match readable(middle) {
            Ok(Some(_)) => good = middle,
            _ => bad = middle,
        }
    }
    Some(good)
}
