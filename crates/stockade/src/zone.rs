//! The system's time zone, found by its name alone.
//!
//! `TimeZone::system()` lists all of `/usr/share/zoneinfo` before it looks up one name in it: a hundred calls of the system, which a command of
//! a few milliseconds feels. Here the file of that name is read. Whatever is not the usual case is left to it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// Where the files of zones are; jiff looks here first, too.
const FOLDER: &str = "/usr/share/zoneinfo";

/// The zone of this system, as `TimeZone::system()` has it; asked once for a process.
pub(crate) fn system() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let find = || {
        // `TZDIR` names another folder.
        let usual = std::env::var_os("TZDIR").is_none();
        let named = usual.then(|| named(std::env::var_os("TZ").as_deref(), Path::new("/etc/localtime")));
        named.flatten().unwrap_or_else(TimeZone::system)
    };
    ZONE.get_or_init(find).clone()
}

/// The zone that `TZ`, or else the link `localtime`, names. `None` if it is named in a less usual way.
fn named(tz: Option<&OsStr>, localtime: &Path) -> Option<TimeZone> {
    let Some(tz) = tz else {
        let target = std::fs::read_link(localtime).ok()?;
        return of(target.to_str()?.rsplit_once("zoneinfo/")?.1);
    };
    let name = tz.to_str()?;
    // A rule (`CET-1CEST`) has a digit, and a path begins with a slash, a dot or a colon.
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || b"/_".contains(&byte);
    let is_place = name.contains('/') && name.bytes().all(is_letter);
    (name == "UTC" || is_place).then(|| of(name)).flatten()
}

/// The zone of this name, from its file.
fn of(name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    // Beside the zones there are folders with other forms of them, `posix` and `right`, and lists; all in small letters.
    let is_name = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte));
    // jiff has a value of its own for it.
    if !is_name || name.eq_ignore_ascii_case("etc/unknown") || name.eq_ignore_ascii_case("utc") {
        return None;
    }
    let bytes = std::fs::read(Path::new(FOLDER).join(name)).ok()?;
    TimeZone::tzif(name, &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to a machine whose `/etc/localtime` leads there.
    fn linked(target: &str) -> Option<TimeZone> {
        let folder = testkit::TempDir::new("zone");
        let link = folder.join("localtime");
        std::os::unix::fs::symlink(target, &link).unwrap();
        named(None, &link)
    }

    #[test]
    fn a_zone_read_by_its_name_is_the_one_that_jiff_finds() {
        let nowhere = Path::new("/nonexistent/localtime");
        let mut found = 0;
        for name in [
            "UTC",
            "Etc/UTC",
            "Europe/Berlin",
            "America/New_York",
            "America/Argentina/Buenos_Aires",
            "Asia/Kathmandu",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        ] {
            let Ok(theirs) = TimeZone::get(name) else { continue };
            found += 1;
            assert_eq!(
                named(Some(OsStr::new(name)), nowhere),
                Some(theirs.clone()),
                "TZ={name}"
            );
            for folder in ["/usr/share/zoneinfo/", "../usr/share/zoneinfo/"] {
                assert_eq!(
                    linked(&format!("{folder}{name}")),
                    Some(theirs.clone()),
                    "{folder}{name}"
                );
            }
        }
        assert!(found > 0, "UTC is known everywhere");
        if let Ok(theirs) = TimeZone::get("Etc/GMT+5") {
            assert_eq!(linked("/usr/share/zoneinfo/Etc/GMT+5"), Some(theirs));
        }
        assert_eq!(system(), TimeZone::system());
    }

    #[test]
    fn a_zone_named_in_another_way_is_left_to_jiff() {
        let nowhere = Path::new("/nonexistent/localtime");
        for tz in [
            "",
            "CET-1CEST",
            "EST5EDT",
            ":Europe/Berlin",
            "/usr/share/zoneinfo/Europe/Berlin",
            "../zoneinfo/Europe/Berlin",
            "europe/berlin",
            "Europe/Nowhere",
            "posix/Europe/Berlin",
            "Etc/Unknown",
            "utc",
        ] {
            assert_eq!(named(Some(OsStr::new(tz)), nowhere), None, "TZ={tz}");
        }
        for target in [
            "/usr/share/zoneinfo/posix/Europe/Berlin",
            "/etc/zone",
            "/usr/share/zoneinfo/../../passwd",
        ] {
            assert_eq!(linked(target), None, "{target}");
        }
        assert_eq!(named(None, nowhere), None);
    }
}
