//! One filter file alone, as `fail2ban-regex` reads it: no jail around it.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Place};
use crate::filter::FilterUse;
use crate::merge::Tree;
use crate::setting::Setting;

/// The settings that a filter file makes, in the order in which a jail would send them; `None` if there is no such file.
///
/// `base` is its path under `dir` without `.conf`: `filter.d/sshd`. `passed` are the options in brackets after its name.
pub fn filter_settings(
    dir: &Path,
    base: &Path,
    passed: &[(String, String)],
    findings: &mut Vec<Diagnostic>,
) -> Option<Result<Vec<Setting>, Diagnostic>> {
    let tree = Tree::new(dir);
    let directory = dir.to_string_lossy();
    let presets = [
        ("fail2ban_version", crate::FAIL2BAN_VERSION),
        ("fail2ban_confpath", &*directory),
    ];
    let merged = tree.read(base, &presets, findings)?;
    let name = base.file_name().unwrap_or_default().to_string_lossy();
    let place = Place::file("the command line");
    let filter = FilterUse {
        name: &name,
        passed,
        place: &place,
        journal: false,
        overridden: &|_| false,
    };
    let filter = filter.resolve(&merged).map_err(|error| error.diagnostic(place.clone()));
    Some(filter.map(|filter| filter.settings))
}
