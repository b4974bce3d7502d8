//! The file over its life: made, filled, purged, brought up to date, damaged.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use stockade_core::{Ban, FailureId, Fields, JailName, LineText, Seconds, Timestamp, Until};
use stockade_store::{Note, Place, Store, StoreError};
use testkit::TempDir;

const STAMP: &str = "20261122-203110";
const NOW: i64 = 1_795_379_470;

fn jail() -> JailName {
    JailName::new("sshd").unwrap()
}

fn ban(id: &str, since: i64, bantime: i64) -> Ban {
    let since = Timestamp::from_secs(since);
    Ban {
        id: FailureId::parse(id),
        since,
        until: Until::after(since, Seconds(bantime)),
        bantime: Seconds(bantime),
        failures: 3,
        matches: vec![LineText {
            text: "x".repeat(100).into(),
            date: 0..0,
        }],
        fields: Fields::default(),
        count: 1,
        restored: false,
    }
}

fn open(path: &Path) -> (Store, Vec<Note>) {
    Store::open(&Place::File(path.to_owned()), STAMP).unwrap()
}

fn address(number: u32) -> String {
    std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string()
}

/// A file with so many bans, and its path.
fn filled(dir: &TempDir, count: u32) -> PathBuf {
    let path = dir.join("f.sqlite3");
    let (store, _) = open(&path);
    store.begin().unwrap();
    store.set_enabled(&jail(), true).unwrap();
    store
        .set_log(&jail(), "/var/log/auth.log", &"ab".repeat(20), 77)
        .unwrap();
    for number in 0..count {
        store.add_ban(&jail(), &ban(&address(number), NOW, 600)).unwrap();
    }
    store.commit().unwrap();
    path
}

fn ids(bans: &[Ban]) -> Vec<String> {
    bans.iter().map(|ban| ban.id.to_string()).collect()
}

fn rows(path: &Path, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    Connection::open(path)
        .unwrap()
        .query_row(&sql, [], |row| row.get(0))
        .unwrap()
}

/// The statements that made the tables, blanks and case aside.
fn schema(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection
        .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
        .unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.map(|row| row.unwrap().to_lowercase().replace([' ', '"'], ""))
        .collect()
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let dir = TempDir::new("store-restart");
    let path = dir.join("new/folder/f.sqlite3");
    let (store, notes) = open(&path);
    assert_eq!(notes, [Note::Connected(path.display().to_string()), Note::Created]);
    store.set_enabled(&jail(), true).unwrap();
    for (id, since, bantime) in [
        ("192.0.2.1", NOW, 600),
        ("192.0.2.2", NOW - 600, 600),
        ("192.0.2.3", NOW - 601, 600),
        ("2001:db8::1", NOW - 100_000, -1),
        ("198.51.100.0/24", NOW, 600),
        ("some id", NOW, 600),
    ] {
        store.add_ban(&jail(), &ban(id, since, bantime)).unwrap();
    }
    store.set_log(&jail(), "/var/log/a", "", 0).unwrap();
    store.set_log(&jail(), "/var/log/a", "abc", 77).unwrap();
    let at = Timestamp::from_micros(1_795_356_140_065_453);
    store
        .set_journal(&jail(), at, "2026-11-22T14:02:20.065453+00:00 ")
        .unwrap();
    drop(store);
    let (store, notes) = open(&path);
    assert_eq!(notes.len(), 1);
    let bans = store.restorable(&jail(), Timestamp::from_secs(NOW)).unwrap();
    assert_eq!(
        ids(&bans),
        ["2001:db8::1", "192.0.2.2", "192.0.2.1", "198.51.100.0/24", "some id"]
    );
    assert!(
        bans.iter()
            .all(|ban| ban.restored && ban.count == 2 && ban.failures == 3 && ban.matches.len() == 1)
    );
    assert_eq!(bans.first().unwrap().until, Until::Forever);
    let logs = store.logs().unwrap();
    let shown: Vec<_> = logs
        .iter()
        .map(|row| (row.path.as_str(), row.first_line.as_str(), row.position))
        .collect();
    assert_eq!(
        shown,
        [
            ("/var/log/a", "abc", 77),
            (
                "systemd-journal",
                "2026-11-22T14:02:20.065453+00:00 ",
                1_795_356_140_065_453
            )
        ]
    );
    store.forget(&jail(), Some(&FailureId::parse("192.0.2.1"))).unwrap();
    let mut longer = ban("192.0.2.2", NOW - 600, 9000);
    longer.count = 4;
    store.prolong(&jail(), &longer).unwrap();
    let bans = store.restorable(&jail(), Timestamp::from_secs(NOW + 5000)).unwrap();
    assert_eq!(ids(&bans), ["2001:db8::1", "192.0.2.2"]);
    store.forget(&jail(), None).unwrap();
    assert_eq!((rows(&path, "bans"), rows(&path, "bips")), (0, 0));
}

#[test]
fn a_file_is_for_root_alone_and_looks_as_that_of_fail2ban_1_0_2() {
    let dir = TempDir::new("store-schema");
    let path = filled(&dir, 1);
    // Recorded from a file that 1.0.2 has made; see also the test of takeovers, which compares with the installed one.
    let expected = [
        "indexbans_ipcreateindexbans_iponbans(ip)",
        "indexbans_jail_ipcreateindexbans_jail_iponbans(jail,ip)",
        "indexbans_jail_timeofban_ipcreateindexbans_jail_timeofban_iponbans(jail,timeofban)",
        "indexbips_ipcreateindexbips_iponbips(ip)",
        "indexbips_timeofbancreateindexbips_timeofbanonbips(timeofban)",
        "indexjails_namecreateindexjails_nameonjails(name)",
        "indexlogs_jail_pathcreateindexlogs_jail_pathonlogs(jail,path)",
        "indexlogs_pathcreateindexlogs_pathonlogs(path)",
        "indexsqlite_autoindex_bips_1",
        "indexsqlite_autoindex_jails_1",
        "indexsqlite_autoindex_logs_1",
        "indexsqlite_autoindex_logs_2",
        "tablebanscreatetablebans(jailtextnotnull,iptext,timeofbanintegernotnull,bantimeintegernotnull,bancountintegernotnulldefault1,datajson,\
         foreignkey(jail)referencesjails(name))",
        "tablebipscreatetablebips(iptextnotnull,jailtextnotnull,timeofbanintegernotnull,bantimeintegernotnull,bancountintegernotnulldefault1,\
         datajson,primarykey(ip,jail),foreignkey(jail)referencesjails(name))",
        "tablefail2bandbcreatetablefail2bandb(versioninteger)",
        "tablejailscreatetablejails(nametextnotnullunique,enabledintegernotnulldefault1)",
        "tablelogscreatetablelogs(jailtextnotnull,pathtext,firstlinemd5text,lastfileposintegerdefault0,\
         foreignkey(jail)referencesjails(name)ondeletecascade,unique(jail,path),unique(jail,path,firstlinemd5))",
    ];
    assert_eq!(schema(&path), expected);
    let types: String = Connection::open(&path)
        .unwrap()
        .query_row(
            "SELECT typeof(jail) || typeof(ip) || typeof(timeofban) || typeof(bantime) || typeof(bancount) || typeof(data) FROM bips",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(types, "texttextintegerintegerintegerblob");
}

#[test]
fn older_files_are_brought_up_to_date_and_a_copy_is_kept() {
    let fixtures = testkit::package_files("fail2ban");
    let fresh = TempDir::new("store-fresh");
    let expected = schema(&filled(&fresh, 0));
    for (version, bans) in [(1, 1), (2, 2)] {
        let name = format!("database_v{version}.db");
        let Some(fixture) = fixtures.iter().find(|path| path.ends_with(&name)) else {
            testkit::skip(&format!("needs {name} of Debian's fail2ban"));
            return;
        };
        let dir = TempDir::new("store-older");
        let path = dir.join("f.sqlite3");
        fs::copy(fixture, &path).unwrap();
        let (_, notes) = open(&path);
        let copy = dir.join(format!("f.sqlite3.{STAMP}"));
        assert_eq!(
            notes.get(1..),
            Some(
                &[
                    Note::BackedUp {
                        from: version,
                        copy: copy.clone()
                    },
                    Note::Upgraded { from: version }
                ][..]
            )
        );
        assert_eq!(fs::read(&copy).unwrap(), fs::read(fixture).unwrap());
        assert_eq!(schema(&path), expected, "version {version}");
        // As 1.0.2 leaves them: nobody knows how long these bans last.
        let unknown = "bips WHERE bantime = -2 AND bancount = 1 AND timeofban > 1388000000";
        assert_eq!((rows(&path, "bans"), rows(&path, unknown)), (bans, bans));
        assert!(rows(&path, "logs") > 0);
        assert_eq!(rows(&path, "fail2banDb WHERE version = 4"), 1);
    }
}

#[test]
fn a_file_of_the_future_is_left_alone() {
    let dir = TempDir::new("store-future");
    let path = filled(&dir, 1);
    Connection::open(&path)
        .unwrap()
        .execute("UPDATE fail2banDb SET version = 9", [])
        .unwrap();
    let before = fs::read(&path).unwrap();
    let outcome = Store::open(&Place::File(path.clone()), STAMP);
    assert!(matches!(outcome, Err(StoreError::Newer { version: 9, .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_old_is_purged_as_fail2ban_does_and_the_file_gets_shorter() {
    let dir = TempDir::new("store-purge");
    let path = filled(&dir, 20_000);
    let (store, _) = open(&path);
    store.set_enabled(&jail(), true).unwrap();
    let gone = JailName::new("gone").unwrap();
    store.set_enabled(&gone, true).unwrap();
    store.set_enabled(&gone, false).unwrap();
    let late = NOW + 100_000;
    for (id, since, bantime) in [
        ("192.0.2.1", late - 86_401, 600),
        ("192.0.2.2", late - 86_401, -1),
        ("192.0.2.3", late, 600),
    ] {
        store.add_ban(&jail(), &ban(id, since, bantime)).unwrap();
    }
    let long = fs::metadata(&path).unwrap().len();
    store.purge(Timestamp::from_secs(late), Seconds(86_400)).unwrap();
    assert!(store.shrink().unwrap() > 0);
    assert!(fs::metadata(&path).unwrap().len() < long / 10);
    // Seen on 1.0.2: the first two are gone from `bans` and stay in `bips`, for the next ban of the same address.
    assert_eq!(
        (rows(&path, "bans"), rows(&path, "bips"), rows(&path, "jails")),
        (1, 3, 1)
    );
    assert_eq!(store.shrink().unwrap(), 0);
}

#[test]
fn rows_that_make_no_sense_are_passed_over() {
    let dir = TempDir::new("store-hostile");
    let path = filled(&dir, 1);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys=OFF;
             INSERT INTO bips VALUES ('0.0.0.0/0', 'sshd', 1795379470, 600, 1, NULL);
             INSERT INTO bips VALUES ('', 'sshd', 1795379470, 600, 1, NULL);
             INSERT INTO bips VALUES (x'ff', 'sshd', 1795379470, 600, 1, NULL);
             INSERT INTO bips VALUES ('192.0.2.50', 'sshd', 'soon', 600, 1, NULL);
             INSERT INTO bips VALUES ('192.0.2.51', 'sshd', 9e300, 600, 1, NULL);
             INSERT INTO bips VALUES ('192.0.2.52', 'sshd', 1795379470, 'long', 1, NULL);
             INSERT INTO bips VALUES ('192.0.2.53', 'sshd', -5, 9223372036854775807, 1, NULL);
             INSERT INTO bips VALUES ('192.0.2.60', 'sshd', 1795379470.7, 600, 'x', '{\"matches\": [');
             INSERT INTO bips VALUES ('192.0.2.61', 'sshd', 1795379471, 9223372036854775807, 99999999999, zeroblob(20000000));
             INSERT INTO bips VALUES (printf('%.*c', 100000, 'x'), 'sshd', 1795379470, 600, 1, NULL);
             INSERT INTO logs VALUES ('sshd', NULL, 7, 'x'), ('sshd', '/a', x'ff', -5), ('sshd', x'ff', '', 5), ('sshd', '/b', 7, 5.0);",
        )
        .unwrap();
    drop(connection);
    let (store, _) = open(&path);
    let bans = store.restorable(&jail(), Timestamp::from_secs(NOW)).unwrap();
    assert_eq!(ids(&bans), ["10.0.0.0", "192.0.2.60", "192.0.2.61"]);
    let paths: Vec<String> = store.logs().unwrap().into_iter().map(|row| row.path).collect();
    assert_eq!(paths, ["/var/log/auth.log", "/b"]);
}

#[test]
fn a_damaged_file_is_put_aside_and_what_can_be_read_is_kept() {
    for (name, at, length) in [
        ("not a database at all", 0.0, 1.0),
        ("a page in the first half", 0.3, 0.05),
        ("pages in the middle", 0.5, 0.1),
        ("its end", 0.9, 0.1),
    ] {
        let dir = TempDir::new("store-damaged");
        let path = filled(&dir, 3000);
        let mut bytes = fs::read(&path).unwrap();
        let all = bytes.len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "test code"
        )]
        let part = |share: f64| (all as f64 * share) as usize;
        let end = part(at + length).min(all);
        bytes.get_mut(part(at)..end).unwrap().fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        let (store, notes) = open(&path);
        let Some(Note::Damaged { aside, bans, .. }) = notes.get(1) else {
            panic!("{name}: {notes:?}");
        };
        assert_eq!(fs::read(aside).unwrap(), bytes, "{name}: the damaged file is as it was");
        let kept = store.restorable(&jail(), Timestamp::from_secs(NOW)).unwrap().len();
        if length < 1.0 {
            assert!(kept >= 2000, "{name}: {kept} of 3000 bans, {bans} by its own count");
        }
        store.set_enabled(&jail(), true).unwrap();
        store.add_ban(&jail(), &ban("192.0.2.1", NOW, 600)).unwrap();
        drop(store);
        let (_, notes) = open(&path);
        assert_eq!(notes.len(), 1, "{name}: the new one is sound");
    }
    let dir = TempDir::new("store-cut");
    let path = filled(&dir, 3000);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, whole.get(..whole.len() / 2).unwrap()).unwrap();
    let (store, notes) = open(&path);
    assert!(matches!(notes.get(1), Some(Note::Damaged { .. })), "{notes:?}");
    assert!(store.restorable(&jail(), Timestamp::from_secs(NOW)).unwrap().len() > 500);
}

#[test]
fn a_place_without_rights_or_space_is_told_and_nothing_panics() {
    let dir = TempDir::new("store-nowhere");
    dir.write("file", "x");
    let outcome = Store::open(&Place::File(dir.join("file/below/f.sqlite3")), STAMP);
    assert!(matches!(outcome, Err(StoreError::Folder { .. })));
    fs::create_dir(dir.join("folder")).unwrap();
    let outcome = Store::open(&Place::File(dir.join("folder")), STAMP);
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("cannot be opened") && text.contains("mend:"), "{text}");
}

#[test]
fn dbfile_none_is_no_database_and_memory_ends_with_the_server() {
    for none in ["None", "none", "NONE", "", " "] {
        assert_eq!(Place::parse(none), None);
    }
    assert_eq!(Place::parse(":memory:"), Some(Place::Memory));
    let (store, _) = Store::open(&Place::Memory, STAMP).unwrap();
    store.set_enabled(&jail(), true).unwrap();
    store.add_ban(&jail(), &ban("192.0.2.1", NOW, 600)).unwrap();
    assert_eq!(store.restorable(&jail(), Timestamp::from_secs(NOW)).unwrap().len(), 1);
}
