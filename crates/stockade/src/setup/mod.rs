//! `stockade setup`: looks at a machine, says which jails it would enable and why, and writes `jail.local` when told.
//!
//! Start reading at [`run`].

mod asterisk;
mod containers;
mod local;
mod machine;
mod running;
mod services;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use stockade_config::{Overrides, Shown};

use crate::screen::{Screen, Style, shown};
use crate::terminal::{complain, say};
use local::Wanted;
use machine::Machine;
use running::Running;

/// Exit code if `jail.local` cannot be written.
const FAILED: u8 = 1;
/// Exit code if the command line is wrong.
const USAGE: u8 = 2;
/// The longest `jail.local` that is renewed.
const LOCAL_LIMIT_BYTES: u64 = 4 << 20;
/// So many programs that started this one are asked whose connection it is.
const ANCESTORS_LIMIT: usize = 20;
/// The jails of Asterisk that the built-in configuration has on.
const ASTERISK: [&str; 3] = ["asterisk", "asterisk-full", "asterisk-security"];

pub(crate) const HELP: &str = "\
Looks at this machine and says which jails it would enable and why.

usage: stockade setup [--root DIR] [--apply] [--json]

  --root DIR  look at this folder in the place of /
  --apply     write it to etc/fail2ban/jail.local; without it nothing is changed
  --json      tell it to programs

Looks for services, their logs and the journal, the firewall in use, what Asterisk's logger.conf writes, and containers of Docker and Podman,
whose services get jails of their own that block forwarded traffic, too. The addresses of who is logged in, of this machine, its gateways, name
servers and containers go into `ignoreip`. In jail.local only marked blocks are setup's own, and are renewed; all else stays, and the file as it
was is kept as jail.local.before-setup. Sections that it has already are left as they are.
Exit code: 0, 1 if jail.local cannot be written, 2 if the command line is wrong.
";

/// What was found of a jail.
struct Finding {
    service: &'static str,
    jail: String,
    /// Whether it is to be enabled.
    enable: bool,
    /// Whether it is to be switched off, if it is not to be enabled: another jail reads the same.
    off: bool,
    options: Vec<(String, String)>,
    why: String,
}

/// Runs `stockade setup`; `typed` is the command line behind that word.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (mut root, mut apply, mut is_json) = (PathBuf::from("/"), false, false);
    let mut parser = lexopt::Parser::from_args(typed);
    loop {
        use lexopt::prelude::*;
        match parser.next() {
            Ok(None) => break,
            Ok(Some(Long("root"))) => match parser.value() {
                Ok(folder) => root = folder.into(),
                Err(error) => return misused(&error.to_string()),
            },
            Ok(Some(Long("apply"))) => apply = true,
            Ok(Some(Long("json"))) => is_json = true,
            Ok(Some(Short('h') | Long("help"))) => {
                say(HELP.trim_end());
                return ExitCode::SUCCESS;
            }
            Ok(Some(other)) => return misused(&other.unexpected().to_string()),
            Err(error) => return misused(&error.to_string()),
        }
    }
    if !root.is_dir() {
        return misused(&format!("there is no folder {}", root.display()));
    }
    let machine = Machine::new(root);
    let folder = machine.path("etc/fail2ban");
    let containers = containers::of(&machine);
    let mut findings = look(&machine, &folder);
    findings.extend(containers::look(&machine, &folder, &containers));
    let connection = connection();
    let friends = machine.friends(connection.as_deref());
    let wanted = Wanted {
        inherited: inherited(&folder),
        networks: containers::networks(&containers, &friends),
        friends,
        jails: wanted_jails(&findings),
    };
    let path = folder.join("jail.local");
    let old = match read(&path) {
        Ok(old) => old,
        Err(error) => {
            complain(&format!(
                "stockade: {} cannot be read: {error}\n  mend: check its owner and mode",
                path.display()
            ));
            return ExitCode::from(FAILED);
        }
    };
    let (new, left) = local::renewed(&old, &wanted);
    let changes = new != old;
    if is_json {
        say(&report_json(&machine, &findings, &wanted, &left, &new));
    } else {
        report(&machine, &findings, &wanted, &left);
    }
    if !apply {
        if !is_json {
            say(&format!(
                "\nNothing was changed. With --apply this goes to {}.",
                path.display()
            ));
        }
        return ExitCode::SUCCESS;
    }
    if changes && let Err(error) = write(&path, &old, &new) {
        complain(&format!(
            "stockade: {} cannot be written: {error}\n  mend: run it as root",
            path.display()
        ));
        return ExitCode::from(FAILED);
    }
    if !is_json {
        let done = if changes {
            "written; `stockade check` looks at it, `fail2ban-client reload` makes it hold"
        } else {
            "is as it should be"
        };
        say(&format!("\n{} {done}.", path.display()));
    }
    ExitCode::SUCCESS
}

/// `SSH_CONNECTION` of this program or, as sudo takes it away, of one of those that started it.
fn connection() -> Option<String> {
    const NAME: &str = "SSH_CONNECTION";
    if let Ok(own) = std::env::var(NAME) {
        return Some(own);
    }
    let mut process = std::os::unix::process::parent_id().to_string();
    for _ in 0..ANCESTORS_LIMIT {
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment);
        let mut variables = environment.split('\0').filter_map(|variable| variable.split_once('='));
        if let Some((_, value)) = variables.find(|(name, _)| *name == NAME) {
            return Some(value.to_owned());
        }
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        parent.trim().clone_into(&mut process);
    }
    None
}

fn misused(what: &str) -> ExitCode {
    complain(&format!("stockade: {what}\n\n{}", HELP.trim_end()));
    ExitCode::from(USAGE)
}

fn read(path: &Path) -> io::Result<String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(metadata) if metadata.len() > LOCAL_LIMIT_BYTES => return Err(io::Error::other("it is larger than 4 MiB")),
        Ok(_) => {}
    }
    fs::read_to_string(path)
}

/// Writes the file whole or not at all; what it was is kept beside it.
fn write(path: &Path, old: &str, new: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if !old.is_empty() {
        fs::copy(path, path.with_file_name("jail.local.before-setup"))?;
    }
    let fresh = path.with_file_name("jail.local.new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(new.as_bytes())?;
    if let Ok(metadata) = fs::metadata(path) {
        file.set_permissions(metadata.permissions())?;
    }
    file.sync_all()?;
    fs::rename(&fresh, path)
}

/// What the machine has, jail by jail.
fn look(machine: &Machine, folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let running = Running::of(machine);
    let services = machine.text("etc/services");
    for service in services::SERVICES {
        let unit = service.units.iter().find_map(|name| Some((name, machine.unit(name)?)));
        let program = service.programs.iter().find_map(|name| machine.program(name));
        let runs = running.has(service.programs);
        let Some(mut seen) = unit
            .as_ref()
            .map(|(_, path)| path.clone())
            .or(program)
            .or(runs.then(String::new))
        else {
            continue;
        };
        let starts = service.units.iter().any(|name| machine.is_enabled(name));
        for what in [(starts, "started at boot"), (runs, "running")] {
            if what.0 {
                seen.push_str(if seen.is_empty() { "" } else { ", " });
                seen.push_str(what.1);
            }
        }
        for jail in service.jails {
            let mut options = Vec::new();
            let (enable, why) = match stockade_config::show(folder, &Overrides::default(), jail) {
                None => (false, "the configuration has no such jail".to_owned()),
                Some(config) => {
                    let (enable, mut why) = source(machine, &config, unit.is_some());
                    options.extend(more_ports(&config, &running, service.programs, &services, &mut why));
                    (enable, why)
                }
            };
            if *jail == "sshd" && options.is_empty() {
                options = ssh_ports(machine);
            }
            let why = format!("{seen}; {why}");
            findings.push(Finding {
                service: service.name,
                jail: (*jail).to_owned(),
                enable,
                off: false,
                options,
                why,
            });
        }
    }
    if !findings.iter().any(|finding| finding.jail == "sshd") {
        findings.push(Finding {
            service: "OpenSSH",
            jail: "sshd".to_owned(),
            enable: false,
            off: false,
            options: Vec::new(),
            why: "not installed".to_owned(),
        });
    }
    findings.extend(look_at_asterisk(machine, folder, &running, &services));
    findings
}

fn look_at_asterisk(machine: &Machine, folder: &Path, running: &Running, services: &str) -> Vec<Finding> {
    let installed = machine.unit("asterisk").or_else(|| machine.program("asterisk"));
    let is_there = installed.is_some() || machine.has("etc/asterisk/asterisk.conf") || running.has(&["asterisk"]);
    let logger = asterisk::Logger::read(&machine.text("etc/asterisk/logger.conf"));
    let mut choices = if is_there { logger.choices() } else { Vec::new() };
    let unread = logger.dateformat.as_deref().filter(|format| !asterisk::is_read(format));
    let of_jail = |jail: &str| {
        let choice = choices.iter().position(|choice| choice.jail == jail);
        let choice = choice.map(|at| choices.swap_remove(at));
        let config = stockade_config::show(folder, &Overrides::default(), jail);
        let known = config.is_some();
        let (mut enable, mut options, mut why) = match choice {
            _ if !is_there => (false, Vec::new(), "not installed".to_owned()),
            Some(choice) => (true, choice.options, choice.why),
            None => (
                false,
                Vec::new(),
                "logger.conf writes nothing for it, or another jail reads it".to_owned(),
            ),
        };
        if let Some(lack) = logger.lack().filter(|_| is_there && (enable || jail == "asterisk")) {
            why = format!("{why}; {lack}");
        }
        if let Some(format) = unread.filter(|_| enable) {
            let shown = shown(format, 60);
            why = format!(
                "{why}; its dateformat `{shown}` is not read: lines count as happening now, old ones not at all; mend: dateformat = %F %T"
            );
        }
        if let Some(config) = config.filter(|_| enable) {
            options.extend(more_ports(&config, running, &["asterisk"], services, &mut why));
        }
        if !known {
            (enable, why) = (false, "the configuration has no such jail".to_owned());
        }
        let jail = jail.to_owned();
        Finding {
            service: "Asterisk",
            jail,
            enable,
            off: is_there && known,
            options,
            why,
        }
    };
    ASTERISK.map(of_jail).into()
}

/// Whether there is something for a jail to read, and what.
fn source(machine: &Machine, config: &Shown, has_unit: bool) -> (bool, String) {
    let patterns = config
        .own
        .option("logpath")
        .map(|option| option.value.clone())
        .unwrap_or_default();
    let patterns = patterns.lines().filter_map(|line| line.split_whitespace().next());
    let files: Vec<String> = patterns.flat_map(|pattern| machine.files(pattern)).collect();
    if let Some(first) = files.first() {
        let more = if files.len() > 1 {
            format!(" and {} more", files.len() - 1)
        } else {
            String::new()
        };
        return (true, format!("its log is {first}{more}"));
    }
    let journal = config.filter.as_ref().and_then(|filter| filter.option("journalmatch"));
    if has_unit && machine.has_journal() && journal.is_some_and(|option| !option.value.is_empty()) {
        return (true, "it writes to the journal".to_owned());
    }
    (
        false,
        "none of its logs is there, and the journal is not, or does not name it".to_owned(),
    )
}

/// `port` if the service listens at ports that the jail does not have; `why` tells.
fn more_ports(
    config: &Shown,
    running: &Running,
    programs: &[&str],
    services: &str,
    why: &mut String,
) -> Option<(String, String)> {
    // As it would be without what setup wrote the last time.
    let port = &config.own.option("port")?;
    let own = port
        .place
        .file
        .ends_with("jail.local")
        .then(|| port.overrode.first())
        .flatten();
    let value = own.map_or(&port.value, |earlier| &earlier.written);
    let missing: Vec<String> = running
        .missing(programs, value, services)
        .iter()
        .map(u16::to_string)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let missing = missing.join(",");
    why.push_str("; it listens at ");
    why.push_str(&missing);
    why.push_str(", too");
    Some(("port".to_owned(), format!("{value},{missing}")))
}

/// `port` if sshd listens elsewhere.
fn ssh_ports(machine: &Machine) -> Vec<(String, String)> {
    let mut text = machine.text("etc/ssh/sshd_config");
    for file in machine.files("/etc/ssh/sshd_config.d/*.conf") {
        text.push('\n');
        text.push_str(&machine.text(&file));
    }
    let mut ports: Vec<u16> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("port")) {
            ports.extend(words.next().and_then(|word| word.parse::<u16>().ok()));
        }
    }
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() || ports == [22] {
        return Vec::new();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    vec![("port".to_owned(), ports.join(","))]
}

/// The jails as they go into the file. What is not installed keeps its default: it may be where setup does not look, or come later.
fn wanted_jails(findings: &[Finding]) -> Vec<(String, Vec<(String, String)>)> {
    let wanted = findings.iter().filter(|finding| finding.enable || finding.off);
    let options = wanted.map(|finding| {
        let mut options = vec![("enabled".to_owned(), finding.enable.to_string())];
        options.extend(finding.options.iter().cloned());
        (finding.jail.clone(), options)
    });
    options.collect()
}

/// `ignoreip` as it is without `jail.local`.
fn inherited(folder: &Path) -> Vec<String> {
    let config = stockade_config::show(folder, &Overrides::default(), "sshd");
    let text = config.and_then(|config| {
        let option = config.own.option("ignoreip")?;
        if !option.place.file.ends_with("jail.local") {
            return Some(option.value.clone());
        }
        option
            .overrode
            .iter()
            .find(|earlier| !earlier.place.file.ends_with("jail.local"))
            .map(|earlier| earlier.written.clone())
    });
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn report(machine: &Machine, findings: &[Finding], wanted: &Wanted, left: &[String]) {
    let mut screen = Screen::new();
    let or_none = |names: Vec<&str>| {
        if names.is_empty() {
            "none seen".to_owned()
        } else {
            names.join(", ")
        }
    };
    screen.line(&[(Style::Title, "The machine")]);
    screen.fact("firewall", &or_none(machine.firewalls()));
    screen.fact("journal", if machine.has_journal() { "yes" } else { "no" });
    let containers = machine.containers();
    screen.fact("containers", &or_none(containers.clone()));
    if !containers.is_empty() {
        screen.fact(
            "",
            "what they write to files of their own is not looked at: a jail needs its `logpath` then",
        );
    }
    for (title, enable) in [("Jails to enable", true), ("Left as they are, or switched off", false)] {
        screen.title(title);
        let mut any = false;
        for finding in findings.iter().filter(|finding| finding.enable == enable) {
            any = true;
            let kept = if left.contains(&finding.jail) {
                " (jail.local has it already: left as it is)"
            } else {
                ""
            };
            let style = if enable { Style::Good } else { Style::Dim };
            screen.line(&[
                (style, &format!("  {:<20} ", finding.jail)),
                (
                    Style::Plain,
                    &format!("{}: {}{kept}", finding.service, shown(&finding.why, 400)),
                ),
            ]);
        }
        if !any {
            screen.line(&[(Style::Dim, "  none")]);
        }
    }
    screen.title("Never banned (ignoreip)");
    for (address, what) in &wanted.friends {
        screen.line(&[(Style::Name, &format!("  {address:<26} ")), (Style::Plain, what)]);
    }
    for (network, what) in &wanted.networks {
        screen.line(&[(Style::Name, &format!("  {network:<26} ")), (Style::Plain, what)]);
    }
    if wanted.friends.is_empty() && wanted.networks.is_empty() {
        screen.line(&[(Style::Dim, "  no address is known")]);
    }
}

fn report_json(machine: &Machine, findings: &[Finding], wanted: &Wanted, left: &[String], new: &str) -> String {
    let jails = findings.iter().map(|finding| {
        json!({
            "service": finding.service, "jail": finding.jail, "enable": finding.enable, "why": finding.why,
            "options": finding.options.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
            "left": left.contains(&finding.jail),
        })
    });
    let ignored = wanted
        .friends
        .iter()
        .map(|(address, what)| json!({ "address": address.to_string(), "what": what }));
    let networks = wanted.networks.iter();
    let ignored =
        ignored.chain(networks.map(|(network, what)| json!({ "address": network.to_string(), "what": what })));
    json!({
        "firewalls": machine.firewalls(), "journal": machine.has_journal(), "containers": machine.containers(),
        "jails": jails.collect::<Vec<_>>(), "ignoreip": ignored.collect::<Vec<_>>(), "jail.local": new,
    })
    .to_string()
}
