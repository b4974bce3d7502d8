//! Everything that can be found wrong with a configuration without running it.
//!
//! [`crate::check::load`] finds what keeps a jail from running; here are the doubts besides.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use stockade_config::{About, Config, Diagnostic, JailConfig, Overrides, Severity, Value as Set};
use stockade_core::IgnoreEntry;

use super::ports;

/// What was found.
pub(super) struct Report {
    pub(super) config: Config,
    /// All findings, errors first, each in the order of reading.
    pub(super) findings: Vec<Diagnostic>,
}

impl Report {
    pub(super) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub(super) fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    /// The jails that will run.
    pub(super) fn running(&self) -> impl Iterator<Item = &JailConfig> {
        self.config.jails.iter().filter(|jail| jail.problem.is_none())
    }
}

/// So many logs of a jail are looked at.
const LOGS_LIMIT: usize = 200;

/// Looks at the configuration in `folder`.
pub(super) fn examine(folder: &Path) -> Report {
    let overrides = Overrides::default();
    let mut config = crate::check::load(folder, &overrides);
    let mut findings = std::mem::take(&mut config.diagnostics);
    findings.extend(stockade_config::doubts(folder, &overrides));
    let running: Vec<&JailConfig> = config.jails.iter().filter(|jail| jail.problem.is_none()).collect();
    let names: Vec<&str> = running.iter().map(|jail| jail.name.as_str()).collect();
    let ports = stockade_config::option_of(folder, &overrides, &names, "port");
    let mut reviewed = HashSet::new();
    for (jail, port) in running.iter().zip(ports) {
        logs(jail, &mut findings);
        ignored(jail, &mut findings);
        crate::check::review(jail, &mut reviewed, &mut findings);
        findings.extend(port.and_then(|(port, place)| ports::reached(jail, &port, &place)));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Report { config, findings }
}

/// A doubt about a jail that runs.
pub(super) fn doubt(jail: &JailConfig, what: String, why: &str, mend: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        what,
        place: Some(jail.place.clone()),
        why: why.to_owned(),
        mend,
        jail: Some(jail.name.clone()),
        about: None,
    }
}

/// Logs that are not there although others of the jail are, and logs that cannot be read.
fn logs(jail: &JailConfig, findings: &mut Vec<Diagnostic>) {
    let some = jail.logs.iter().any(|log| !log.files.is_empty());
    for log in jail.logs.iter().take(LOGS_LIMIT) {
        let mut tell = |what: String, why: &str, mend: &str| {
            findings.push(Diagnostic {
                place: Some(log.place.clone()),
                about: Some(About::all(&log.pattern)),
                ..doubt(jail, what, why, mend.to_owned())
            });
        };
        // If none is there, that has been told already.
        if log.files.is_empty() && some && !stockade_config::has_magic(&log.pattern) {
            let what = format!("the log {} does not exist yet", log.pattern);
            tell(
                what,
                "the jail reads its other logs meanwhile",
                "check the path, or leave it if the log is still to come",
            );
        }
        for file in &log.files {
            match fs::File::open(file).and_then(|file| file.metadata()) {
                Ok(metadata) if metadata.is_dir() => {
                    tell(
                        format!("the log {file} is a folder"),
                        "lines are read from files",
                        "name the files in it, for example with /*.log",
                    );
                }
                Ok(_) => {}
                // Whoever may not read it is not the user who runs the server.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied && !rustix::process::geteuid().is_root() => {}
                Err(error) => {
                    tell(
                        format!("the log {file} cannot be read: {error}"),
                        "its lines are missing",
                        "check its type, owner and mode",
                    );
                }
            }
        }
    }
}

/// Entries of `ignoreip` that look like addresses and are none: they would be looked up as names, and protect nobody.
fn ignored(jail: &JailConfig, findings: &mut Vec<Diagnostic>) {
    let settings = jail.settings.iter().filter(|setting| setting.option == "addignoreip");
    for setting in settings {
        let Set::Words(words) = &setting.value else { continue };
        for word in words {
            let is_name = matches!(IgnoreEntry::parse(word), IgnoreEntry::Name(_));
            let numeric = word.contains([':', '/']) || !word.contains(|c: char| c.is_alphabetic());
            if is_name && numeric && !word.starts_with("file:") {
                findings.push(Diagnostic {
                    place: Some(setting.place.clone()),
                    about: Some(About::all(word)),
                    ..doubt(
                        jail,
                        format!("`{word}` in `ignoreip` is neither an address nor a network"),
                        "it is looked up as a name, and protects nobody if there is no such name",
                        "write 192.0.2.1, 192.0.2.0/24, 2001:db8::/32 or a host name".to_owned(),
                    )
                });
            }
        }
    }
}
