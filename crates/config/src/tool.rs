//! A filter file alone, and the rules of a jail, as `fail2ban-regex` reads them.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Place};
use crate::filter::FilterUse;
use crate::jail::{Instead, JailConfig, Jails, is_jail};
use crate::merge::Tree;
use crate::setting::Setting;

/// A filter file without a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFilter {
    /// The settings it makes, in the order in which a jail would send them.
    pub settings: Vec<Setting>,
    /// `logtype`.
    pub logtype: String,
    /// Its `[Init]`: what may be given in brackets after its name.
    pub init: Vec<(String, String)>,
}

/// A filter file as `fail2ban-regex` uses it; `None` if there is no such file.
///
/// `base` is its path under `dir` without `.conf`: `filter.d/sshd`. `passed` are the options in brackets after its name; `journal` is
/// whether it is used on the journal, which `logtype` follows unless something sets it.
pub fn filter_settings(
    dir: &Path,
    base: &Path,
    passed: &[(String, String)],
    journal: bool,
    findings: &mut Vec<Diagnostic>,
) -> Option<Result<ToolFilter, Diagnostic>> {
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
        journal,
        overridden: &|_| false,
        known: false,
    };
    let filter = filter.resolve(&merged).map_err(|error| error.diagnostic(place.clone()));
    let options = |section| {
        merged
            .section(section)
            .map_or(&[][..], |section| section.options.as_slice())
    };
    let logtype = passed
        .iter()
        .find(|(name, _)| name == "logtype")
        .map(|(_, value)| value.clone());
    let logtype = logtype.or_else(|| {
        let mut own = options("Definition").iter();
        own.find(|(name, _)| name == "logtype")
            .map(|(_, entry)| entry.value.clone())
    });
    let init = options("Init").iter();
    Some(filter.map(|filter| ToolFilter {
        settings: filter.settings,
        logtype: logtype.unwrap_or_else(|| if journal { "journal" } else { "file" }.to_owned()),
        init: init.map(|(name, entry)| (name.clone(), entry.value.clone())).collect(),
    }))
}

/// The rules of a jail, enabled or not; `None` if there is no such jail, or it has no filter. Its actions and logs are not read.
///
/// `passed` are options of its filter in the place of those that it sets.
pub fn jail_rules(dir: &Path, name: &str, passed: &[(String, String)], journal: bool) -> Option<JailConfig> {
    let tree = Tree::new(dir);
    let directory = dir.to_string_lossy();
    let presets = [
        ("fail2ban_version", crate::FAIL2BAN_VERSION),
        ("fail2ban_confpath", &*directory),
    ];
    let mut findings = Vec::new();
    let merged = tree.read("jail", &presets, &mut findings)?;
    merged.section(name).filter(|_| is_jail(name))?;
    let jails = Jails {
        tree: &tree,
        presets: &presets,
        merged: &merged,
    };
    let instead = Instead {
        backend: Some(if journal { "systemd" } else { "auto" }),
        passed,
        rules_only: true,
    };
    let (_, jail) = jails.attempt(name, &instead, &mut findings);
    Some(jail).filter(|jail| !jail.filter.is_empty() || jail.problem.is_some())
}
