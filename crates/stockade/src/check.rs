//! A configuration read and looked at more closely than the server can: here every value still has its file and line.
//!
//! Patterns are compiled and actions built as the server will do it; a jail with a fault is told with its place and left out, the others run.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};

use stockade_action::Action;
use stockade_config::{
    About, ActionConfig, ActionKind, Config, Diagnostic, JailConfig, Overrides, Place, Severity, Value as Set,
};
use stockade_core::JailName;
use stockade_filter::{Filter, FilterError};
use stockade_protocol::{JailSet, RemoteError, Request, Value, parse};

use crate::client::stream;
use crate::server::python;
use crate::server::setup::{BackendFault, JailSetup, backend_fault};

/// The Debian packages of programs that actions use.
const PACKAGES: &[(&str, &str)] = &[
    ("ip6tables", "iptables"),
    ("iptables-restore", "iptables"),
    ("nft", "nftables"),
    ("sendmail", "dma"),
    ("mail", "bsd-mailx"),
    ("dig", "bind9-dnsutils"),
    ("nsupdate", "bind9-dnsutils"),
    ("firewall-cmd", "firewalld"),
    ("geoiplookup", "geoip-bin"),
    ("ip", "iproute2"),
    ("route", "net-tools"),
    ("logger", "bsdutils"),
    ("wget", "wget"),
    ("conntrack", "conntrack"),
    ("shorewall", "shorewall"),
    ("ufw", "ufw"),
    ("curl", "curl"),
    ("whois", "whois"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
];

/// Reads a configuration; what is wrong with rules and actions is among its diagnostics, and their jails have a problem.
pub fn load(dir: &Path, overrides: &Overrides) -> Config {
    let mut config = stockade_config::load(dir, overrides);
    for jail in &mut config.jails {
        if let Some(problem) = &mut jail.problem {
            // The server's log is to say more than Fail2Ban's words for it.
            let of_jail = |finding: &&Diagnostic| {
                finding.severity == Severity::Error && finding.jail.as_deref() == Some(&jail.name)
            };
            if let Some(finding) = config.diagnostics.iter().find(of_jail) {
                *problem = one_line(finding);
            }
        }
    }
    config.diagnostics.extend(examine_all(&mut config.jails));
    config
}

/// Looks at all jails that have no problem so far, on several processors.
///
/// Also on one this is done by a thread of its own: what it needs of memory goes to the threads of the server afterwards.
fn examine_all(jails: &mut [JailConfig]) -> Vec<Diagnostic> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(4)
        .min(jails.len());
    // Locks held for a step: the jails are in one list.
    let queue = Mutex::new(jails.iter_mut().enumerate().filter(|(_, jail)| jail.problem.is_none()));
    let told = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((number, jail)) = lock(&queue).next() else {
                return;
            };
            let mut found = Vec::new();
            examine(jail, &mut found);
            jail.problem = found
                .iter()
                .find(|finding| finding.severity == Severity::Error)
                .map(one_line);
            lock(&told).push((number, found));
        }
    };
    thread::scope(|scope| {
        let started = (0..threads)
            .map_while(|_| Builder::new().name("check".into()).spawn_scoped(scope, work).ok())
            .count();
        if started == 0 {
            work();
        }
    });
    let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    told.sort_unstable_by_key(|(number, _)| *number);
    told.into_iter().flat_map(|(_, found)| found).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere ends the scope with it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A diagnostic in one line, for the log.
pub fn one_line(finding: &Diagnostic) -> String {
    finding
        .to_string()
        .trim_start_matches("error: ")
        .trim_start_matches("warning: ")
        .replace("\n  ", "; ")
}

fn examine(jail: &JailConfig, found: &mut Vec<Diagnostic>) {
    let Some(name) = JailName::new(&jail.name) else { return };
    if let Some(BackendFault { what, why, mend }) = backend_fault(&jail.backend) {
        found.push(Diagnostic {
            severity: Severity::Error,
            what,
            place: Some(jail.place.clone()),
            why,
            mend: mend.to_owned(),
            jail: Some(jail.name.clone()),
            about: Some(About::all(&jail.backend)),
        });
    }
    let rules = setup(jail, &name, found).filter;
    if let Err(errors) = Filter::check(&rules) {
        found.extend(errors.iter().map(|error| finding(jail, error)));
    }
    for action in &jail.actions {
        examine_action(jail, &name, action, found);
    }
}

/// The jail as the server will understand its commands; a command that it will refuse is told with its place.
pub(crate) fn setup(jail: &JailConfig, name: &JailName, found: &mut Vec<Diagnostic>) -> JailSetup {
    let mut setup = JailSetup::new(name.clone(), &jail.backend);
    for command in stream::jail_commands(std::slice::from_ref(jail)) {
        let option = match command.get(2) {
            Some(Value::Str(option)) => option.clone(),
            _ => String::new(),
        };
        let outcome: Result<(), RemoteError> = parse(&Value::List(command)).and_then(|request| match request {
            // An action is looked at as a whole, below.
            Request::SetJail(_, JailSet::AddAction { .. } | JailSet::Action { .. })
            | Request::MultiSet(_, JailSet::Action { .. }) => Ok(()),
            Request::SetJail(_, set) | Request::MultiSet(_, set) => setup.set(&set),
            _ => Ok(()),
        });
        if let Err(error) = outcome {
            let place = jail
                .settings
                .iter()
                .find(|setting| setting.option == option)
                .map_or(&jail.place, |setting| &setting.place);
            found.push(Diagnostic {
                severity: Severity::Error,
                what: error.to_string(),
                place: Some(place.clone()),
                why: "the server refuses this value, so the jail is left out".into(),
                mend: format!("correct `{option}`"),
                jail: Some(jail.name.clone()),
                about: None,
            });
        }
    }
    setup
}

fn finding(jail: &JailConfig, error: &FilterError) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        what: format!("`{}`: {}", error.option, error.message),
        place: Some(place_of_rule(jail, error.option, error.index)),
        why: format!("the rule is {}", error.rule),
        mend: error.mend.clone(),
        jail: Some(jail.name.clone()),
        about: Some(About {
            text: error.rule.clone(),
            span: error.at.map(|at| (at, at + 1)),
        }),
    }
}

/// Where entry `index` of a rule's option stands.
pub(crate) fn place_of_rule(jail: &JailConfig, option: &str, index: usize) -> Place {
    let line = match option {
        "failregex" => jail.lines("addfailregex").nth(index),
        "ignoreregex" => jail.lines("addignoreregex").nth(index),
        _ => None,
    };
    let setting = || jail.settings.iter().find(|setting| setting.option == option);
    line.map(|line| &line.place)
        .or_else(|| setting().map(|setting| &setting.place))
        .unwrap_or(&jail.place)
        .clone()
}

/// Doubts about the rules of a jail that compile. `reviewed` holds what was seen: jails often share their rules.
pub(crate) fn review(jail: &JailConfig, reviewed: &mut HashSet<String>, found: &mut Vec<Diagnostic>) {
    let Some(name) = JailName::new(&jail.name) else { return };
    // What the server refuses has been told, and such a jail is not reviewed.
    let settings = setup(jail, &name, &mut Vec::new()).filter;
    if !reviewed.insert(format!("{settings:?}")) {
        return;
    }
    let Ok(filter) = Filter::new(&settings, &jiff::tz::TimeZone::UTC) else {
        return;
    };
    for doubt in stockade_filter::review(&filter, &settings) {
        let rules = match doubt.option {
            "failregex" => &settings.failregex,
            "ignoreregex" => &settings.ignoreregex,
            _ => &settings.prefregex.iter().cloned().collect(),
        };
        let example = doubt.example.map(|line| format!("; for example: {line}"));
        found.push(Diagnostic {
            severity: Severity::Warning,
            what: format!("`{}`: {}", doubt.option, doubt.what),
            place: Some(place_of_rule(jail, doubt.option, doubt.index)),
            why: doubt.why + example.as_deref().unwrap_or_default(),
            mend: doubt.mend,
            jail: Some(jail.name.clone()),
            about: rules.get(doubt.index).map(|rule| About {
                text: rule.clone(),
                span: doubt.at,
            }),
        });
    }
}

fn examine_action(jail: &JailConfig, name: &JailName, action: &ActionConfig, found: &mut Vec<Diagnostic>) {
    let mut tell = |severity, what: String, place: &Place, why: &str, mend: String| {
        found.push(Diagnostic {
            severity,
            what,
            place: Some(place.clone()),
            why: why.into(),
            mend,
            jail: Some(jail.name.clone()),
            about: None,
        });
    };
    let properties = match &action.kind {
        ActionKind::Properties(properties) => properties,
        ActionKind::Python { path, options } => {
            let built = python::properties(&action.name, &path.to_string_lossy(), options)
                .and_then(|properties| Action::new(name, &action.name, &properties).map_err(|error| error.to_string()));
            if let Err(error) = built {
                let why = "a plug-in would run as root within the daemon";
                tell(Severity::Error, error, &action.place, why, String::new());
            }
            return;
        }
    };
    let texts: Vec<(String, String)> = properties
        .iter()
        .filter_map(|property| match &property.value {
            Set::Text(text) => Some((property.name.clone(), text.clone())),
            Set::Bool(flag) => Some((property.name.clone(), if *flag { "True" } else { "False" }.to_owned())),
            Set::Int(number) => Some((property.name.clone(), number.to_string())),
            _ => None,
        })
        .collect();
    match Action::new(name, &action.name, &texts) {
        Err(error) => tell(Severity::Error, error.to_string(), &action.place, "", String::new()),
        Ok(built) => {
            for warning in built.warnings() {
                tell(Severity::Warning, warning.to_string(), &action.place, "", String::new());
            }
        }
    }
    let mut missing: Vec<String> = Vec::new();
    let value = |name: &str| {
        let found = texts.iter().find(|(known, _)| known == name);
        found.map(|(_, text)| text.clone())
    };
    let commands = properties
        .iter()
        .filter(|property| stockade_config::is_command(&property.name));
    for property in commands {
        let Set::Text(text) = &property.value else { continue };
        for program in stockade_action::programs(&without_tags(text, value)) {
            if missing.contains(&program) || installed(&program) {
                continue;
            }
            tell(
                Severity::Warning,
                format!(
                    "action `{}` needs the program `{program}`, which is not installed",
                    action.name
                ),
                &property.place,
                "its commands will fail, and bans of this action will not take effect",
                mend(&program),
            );
            missing.push(program);
        }
    }
}

/// A command with the action's own values in the place of their tags, and `$x` for what is known at a ban only.
fn without_tags(command: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = command;
    while let Some((before, from)) = rest.split_once('<') {
        out.push_str(before);
        let is_tag =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./?=".contains(c));
        if let Some((name, after)) = from.split_once('>').filter(|(name, _)| is_tag(name)) {
            out.push_str(&value(name).unwrap_or_else(|| "$x".to_owned()));
            rest = after;
        } else {
            out.push('<');
            rest = from;
        }
    }
    out + rest
}

fn mend(program: &str) -> String {
    let base = program.rsplit('/').next().unwrap_or(program);
    match PACKAGES.iter().find(|(known, _)| *known == base) {
        Some((_, package)) => format!("apt-get install {package}, or use another action"),
        None => format!("install `{base}`, or use another action"),
    }
}

/// Whether a program is there, by its path or in one of the folders that programs are in.
fn installed(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let path = crate::terminal::search_path();
    path.split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"])
        .any(|folder| Path::new(folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_no_redirections() {
        for (command, without) in [
            ("echo <ip> >> /etc/x/<ip>.auto", "echo $x >> /etc/x/$x.auto"),
            ("mail <dest> < file; cat <<EOF", "mail $x < file; cat <<EOF"),
            ("<iptables> -n <F-USER>", "iptables -w -n $x"),
        ] {
            let value = |name: &str| (name == "iptables").then(|| "iptables -w".to_owned());
            assert_eq!(without_tags(command, value), without);
        }
    }
}
