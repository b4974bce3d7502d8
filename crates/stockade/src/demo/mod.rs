//! `stockade demo`: the main job, shown on a recorded attack in a network of its own, and checked against the truth.
//!
//! Start reading at [`run`]. What is shown is what happened: bans and their times come from the kernel's own events, failures
//! from the daemon's log, the sets from the kernel's listing.

mod daemon;
mod play;
mod recording;
mod world;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stockade_firewall::{Block, Events, Firewall as _, Nftables, Target};

use crate::screen::{Screen, Style, shown};
use crate::terminal::{complain, say};
use daemon::Daemon;
use play::{Ban, Player};
use recording::{Actor, Recording, Role};

const HELP: &str = "\
Usage: stockade demo [--svg FILE]

Plays a recorded attack on an Asterisk to the daemon, in a network namespace of its own, and shows whom it bans.
Nothing outside of that namespace is touched. Runs as root, or where users may make user namespaces.

    --svg FILE    also write what is shown as a picture
    -h, --help    show this";

/// How long after the last line a ban may come.
const LATEST: Duration = Duration::from_secs(3);
/// How long nothing must happen at the end.
const QUIET: Duration = Duration::from_millis(300);

/// Runs the demo; `typed` is the command line without the words `stockade demo`. Starts this program again as server and as
/// client: `server …` and `client …`.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    let picture = match arguments(typed) {
        Ok(Asked::Help) => {
            say(HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(picture)) => picture,
        Err(fault) => {
            complain(&format!("stockade demo: {fault}; see `stockade demo --help`"));
            return ExitCode::FAILURE;
        }
    };
    let mut screen = Screen::new();
    let mut outcome = show(&mut screen);
    if let Some(path) = picture {
        let written = std::fs::write(&path, screen.svg());
        if let Err(error) = written {
            outcome = Err(format!("cannot write {}: {error}", path.display()));
        }
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            complain(&format!("stockade demo: {fault}"));
            ExitCode::FAILURE
        }
    }
}

enum Asked {
    Run(Option<PathBuf>),
    Help,
}

fn arguments(typed: impl IntoIterator<Item = OsString>) -> Result<Asked, lexopt::Error> {
    use lexopt::prelude::{Long, Short};
    let mut parser = lexopt::Parser::from_args(typed);
    let mut picture = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("svg") => picture = Some(parser.value()?.into()),
            Long("help") | Short('h') => return Ok(Asked::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Asked::Run(picture))
}

/// Everything, from the private network to the last check. Whether all was as it should be.
fn show(screen: &mut Screen) -> Result<bool, String> {
    let begin = Instant::now();
    let recording = Recording::load();
    let network = world::enter()?;
    world::raise_loopback().map_err(|error| format!("cannot switch on the loopback interface: {error}"))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| format!("signals: {error}"))?;
    }
    let mut events = Events::open().map_err(|error| error.to_string())?;
    let mut kernel = Nftables::open().map_err(|error| error.to_string())?;

    screen.line(&[(
        Style::Title,
        "Stockade: a recorded attack on an Asterisk, and what becomes of the attackers",
    )]);
    screen.blank();
    let mut daemon = Daemon::start(&interrupted)?;
    screen.fact("network", &format!("{network}; the machine's own is not touched"));
    screen.fact(
        "daemon",
        &format!(
            "built-in configuration, jail asterisk: 5 failures in 10 min; ready after {}",
            milliseconds(daemon.ready_after)
        ),
    );
    screen.fact(
        "log",
        &format!(
            "{} lines of Asterisk 20.20.1 with its default date, {} attackers and {} legitimate users at once",
            recording.lines.len(),
            recording.with_role(Role::Attacker).count(),
            recording.with_role(Role::Legitimate).count()
        ),
    );
    screen.title("  time     banned               failures  line to kernel  what it does");

    let mut faults = Vec::new();
    let player = Player::start(&recording, &daemon.log)?;
    let bans = watch(screen, &recording, &mut events, &player, &daemon, &interrupted)?;
    // The thread ends with the recording, or was told to.
    player.finish()?;
    report_spared(screen, &recording, &daemon, &bans);
    if interrupted.load(Ordering::Relaxed) {
        return Err("interrupted".to_owned());
    }
    judge(&recording, &bans, &mut faults);
    list_kernel(screen, &mut kernel, &bans, &mut faults)?;
    clean_up(screen, &mut kernel, &mut daemon, &mut faults)?;
    conclude(screen, &recording, &bans, &faults, begin);
    Ok(faults.is_empty())
}

/// Shows bans as the kernel announces them, until the recording has ended and all is quiet.
fn watch(
    screen: &mut Screen,
    recording: &Recording,
    events: &mut Events,
    player: &Player,
    daemon: &Daemon,
    interrupted: &AtomicBool,
) -> Result<BTreeMap<IpAddr, Ban>, String> {
    let attackers: Vec<IpAddr> = recording.with_role(Role::Attacker).map(|actor| actor.address).collect();
    let mut bans: BTreeMap<IpAddr, Ban> = BTreeMap::new();
    let mut last_sign = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        let heard = events
            .next(Duration::from_millis(20))
            .map_err(|error| error.to_string())?;
        let now = Instant::now();
        for event in heard.into_iter().filter(|event| event.added.is_some()) {
            last_sign = now;
            let address = event.net.addr();
            let ban = Ban {
                after: now.duration_since(player.begin),
                delay: player.since_last_line(address, now),
            };
            if bans.contains_key(&address) {
                continue;
            }
            let failures = daemon.failures_at_ban(address);
            show_ban(screen, address, ban, failures, recording.actor(address));
            bans.insert(address, ban);
        }
        if let Some(end) = player.ended_at() {
            let is_complete = attackers.iter().all(|address| bans.contains_key(address));
            let quiet = now.duration_since(last_sign.max(end));
            if quiet > LATEST || (is_complete && quiet > QUIET) {
                break;
            }
        }
    }
    Ok(bans)
}

fn show_ban(screen: &mut Screen, address: IpAddr, ban: Ban, failures: usize, actor: Option<&Actor>) {
    let style = match actor.map(|actor| actor.role) {
        Some(Role::Attacker) => Style::Name,
        _ => Style::Bad,
    };
    screen.line(&[
        (Style::Dim, &format!("  {:>5.2} s  ", ban.after.as_secs_f64())),
        (style, &format!("{:<19}", address.to_string())),
        (Style::Plain, &format!("  {failures:>8}  ")),
        (
            Style::Good,
            &format!("{:>14}", ban.delay.map_or_else(|| "?".to_owned(), milliseconds)),
        ),
        (
            Style::Plain,
            &format!("  {}", actor.map_or("not in the recording", |actor| actor.doing)),
        ),
    ]);
}

/// Those who were left alone, rightly or not.
fn report_spared(screen: &mut Screen, recording: &Recording, daemon: &Daemon, bans: &BTreeMap<IpAddr, Ban>) {
    screen.title("  legitimate users             failures");
    for actor in recording.with_role(Role::Legitimate) {
        let (style, word) = if bans.contains_key(&actor.address) {
            (Style::Bad, "BANNED")
        } else {
            (Style::Good, "left alone")
        };
        screen.line(&[
            (Style::Name, &format!("           {:<19}", actor.address.to_string())),
            (Style::Plain, &format!("  {:>8}  ", daemon.failures_of(actor.address))),
            (style, &format!("{word:>14}")),
            (Style::Plain, &format!("  {}", actor.doing)),
        ]);
    }
    let injected: Vec<&Actor> = recording.with_role(Role::Injected).collect();
    let wronged = injected
        .iter()
        .filter(|actor| bans.contains_key(&actor.address))
        .count();
    screen.title(&format!(
        "  {} addresses that an attacker wrote into names and headers, {wronged} of them banned",
        injected.len()
    ));
    // An address in a name, another end of the quotation, and bytes that would steer a terminal.
    let is_injected = |text: &str| injected.iter().any(|actor| text.contains(&actor.address.to_string()));
    let has_control = |text: &str| text.chars().any(char::is_control);
    // Without the thread and the source file's name.
    let message = |text: &'static str| text.split_once(".c: ").map_or(text, |(_, message)| message);
    let texts = || recording.lines.iter().map(|line| message(line.text));
    let plain = texts().filter(|text| is_injected(text) && !has_control(text));
    for text in plain.step_by(9).take(2).chain(texts().find(|text| has_control(text))) {
        screen.line(&[(Style::Dim, &format!("           {}", shown(text, 96)))]);
    }
}

/// Compares with the truth.
fn judge(recording: &Recording, bans: &BTreeMap<IpAddr, Ban>, faults: &mut Vec<String>) {
    for actor in &recording.actors {
        match (actor.role, bans.contains_key(&actor.address)) {
            (Role::Attacker, false) => faults.push(format!("{} was not banned: {}", actor.address, actor.doing)),
            (Role::Legitimate, true) => faults.push(format!(
                "{} was banned, but is legitimate: {}",
                actor.address, actor.doing
            )),
            (Role::Injected, true) => {
                faults.push(format!("{} was banned, but only named by an attacker", actor.address));
            }
            _ => {}
        }
    }
    for address in bans.keys().filter(|address| recording.actor(**address).is_none()) {
        faults.push(format!("{address} was banned, but is not in the recording"));
    }
}

/// The jail's sets; for listing alone.
fn target() -> Target {
    Target {
        table: "f2b-table".to_owned(),
        chain: "f2b-chain".to_owned(),
        priority: -1,
        hooks: Vec::new(),
        name: daemon::JAIL.to_owned(),
        ports: None,
        protocols: Vec::new(),
        verdict: Block::Reject,
    }
}

/// Shows the sets as the kernel lists them, and compares them with the bans it announced.
fn list_kernel(
    screen: &mut Screen,
    kernel: &mut Nftables,
    bans: &BTreeMap<IpAddr, Ban>,
    faults: &mut Vec<String>,
) -> Result<(), String> {
    let mut elements = kernel.list(&target()).map_err(|error| error.to_string())?;
    elements.sort_by_key(|element| element.net);
    for (family, set) in [(true, "addr-set"), (false, "addr6-set")] {
        screen.title(&format!("  kernel, table inet f2b-table, set {set}-{}", daemon::JAIL));
        let of_family: Vec<_> = elements
            .iter()
            .filter(|element| element.net.addr().is_ipv4() == family)
            .collect();
        for row in of_family.chunks(3) {
            let cells = row.iter().map(|element| {
                let left = element
                    .expires
                    .map_or_else(|| "for ever".to_owned(), |seconds| format!("{seconds} s left"));
                (element.net.addr().to_string(), left)
            });
            let mut texts = vec![(Style::Plain, "           ".to_owned())];
            for (address, left) in cells {
                texts.push((Style::Name, format!("{address:<19}")));
                texts.push((Style::Dim, format!("{left:<14}")));
            }
            screen.line(
                &texts
                    .iter()
                    .map(|(style, text)| (*style, text.as_str()))
                    .collect::<Vec<_>>(),
            );
        }
    }
    let listed: Vec<IpAddr> = elements.iter().map(|element| element.net.addr()).collect();
    if listed.len() != bans.len() || listed.iter().any(|address| !bans.contains_key(address)) {
        faults.push(format!(
            "the kernel lists {} bans and has announced {}",
            listed.len(),
            bans.len()
        ));
    }
    Ok(())
}

/// Unbans, stops, and looks for what is left.
fn clean_up(
    screen: &mut Screen,
    kernel: &mut Nftables,
    daemon: &mut Daemon,
    faults: &mut Vec<String>,
) -> Result<(), String> {
    screen.title("  and back again");
    let answer = daemon.ask(&["unban", "--all"])?;
    // The answer says what was decided; the kernel is told by another thread at the same time.
    let deadline = Instant::now() + Duration::from_secs(1);
    let left = loop {
        let left = match kernel.list(&target()) {
            Ok(elements) => elements.len(),
            // With nobody banned the sets may be gone.
            Err(error) if error.is_missing() => 0,
            Err(error) => return Err(error.to_string()),
        };
        if left == 0 || Instant::now() > deadline {
            break left;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    screen.fact(
        "unban",
        &format!(
            "--all over the control socket: {} lifted, {left} left in the kernel",
            shown(answer.trim(), 20)
        ),
    );
    if left > 0 {
        faults.push(format!("{left} bans are in the kernel after unban --all"));
    }
    let begin = Instant::now();
    daemon.ask(&["stop"])?;
    let status = daemon.wait(Duration::from_secs(5))?;
    let ended_after = begin.elapsed();
    if !status.success() {
        faults.push(format!("the daemon ended with {status}"));
    }
    let tables = kernel.tables().map_err(|error| error.to_string())?;
    let files = daemon.leftovers();
    faults.extend(
        tables
            .iter()
            .map(|table| format!("table {table} is left in the kernel")),
    );
    faults.extend(files.iter().map(|file| format!("{} is left", file.display())));
    screen.fact(
        "stop",
        &format!(
            "daemon ended after {}; left behind: {} tables in the kernel, {} socket or pid files",
            milliseconds(ended_after),
            tables.len(),
            files.len()
        ),
    );
    Ok(())
}

fn conclude(
    screen: &mut Screen,
    recording: &Recording,
    bans: &BTreeMap<IpAddr, Ban>,
    faults: &[String],
    begin: Instant,
) {
    let banned = |role| {
        recording
            .with_role(role)
            .filter(|actor| bans.contains_key(&actor.address))
            .count()
    };
    let all = |role| recording.with_role(role).count();
    screen.blank();
    screen.line(&[
        (Style::Title, "  banned    "),
        (
            Style::Plain,
            &format!(
                "{} of {} attackers, {} of {} legitimate users, {} of {} injected addresses",
                banned(Role::Attacker),
                all(Role::Attacker),
                banned(Role::Legitimate),
                all(Role::Legitimate),
                banned(Role::Injected),
                all(Role::Injected)
            ),
        ),
    ]);
    let mut delays: Vec<Duration> = bans.values().filter_map(|ban| ban.delay).collect();
    delays.sort();
    if let (Some(median), Some(longest)) = (delays.get(delays.len() / 2), delays.last()) {
        let text = format!(
            "{} in the median, {} at most, from the line in the log to the ban in the kernel",
            milliseconds(*median),
            milliseconds(*longest)
        );
        screen.line(&[(Style::Title, "  time      "), (Style::Plain, &text)]);
    }
    for fault in faults {
        screen.line(&[(Style::Bad, "  wrong     "), (Style::Plain, fault)]);
    }
    let seconds = format!(", in {:.1} s", begin.elapsed().as_secs_f64());
    if faults.is_empty() {
        screen.line(&[
            (Style::Good, "  right     "),
            (Style::Plain, "all as the recording's truth has it"),
            (Style::Dim, &seconds),
        ]);
    }
}

fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.2} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bans_of(recording: &Recording, roles: &[Role]) -> BTreeMap<IpAddr, Ban> {
        let ban = Ban {
            after: Duration::ZERO,
            delay: None,
        };
        let actors = recording.actors.iter().filter(|actor| roles.contains(&actor.role));
        actors.map(|actor| (actor.address, ban)).collect()
    }

    #[test]
    fn what_differs_from_the_truth_is_told_by_address() {
        let recording = Recording::load();
        let mut faults = Vec::new();
        judge(&recording, &bans_of(&recording, &[Role::Attacker]), &mut faults);
        assert_eq!(faults, [""; 0]);

        let mut bans = bans_of(&recording, &[Role::Attacker]);
        let missed = *bans.keys().next().unwrap();
        let ban = bans.remove(&missed).unwrap();
        for address in ["203.0.113.21", "10.9.9.1", "9.9.9.9"] {
            bans.insert(address.parse().unwrap(), ban);
        }
        judge(&recording, &bans, &mut faults);
        faults.sort();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults[0].starts_with("10.9.9.1 was banned"));
        assert!(faults[1].starts_with(&format!("{missed} was not banned")));
        assert!(faults[2].starts_with("203.0.113.21 was banned"));
        assert!(faults[3].starts_with("9.9.9.9 was banned"));
    }

    #[test]
    fn words_it_does_not_know_are_refused() {
        let parse = |words: &[&str]| arguments(words.iter().map(OsString::from));
        assert!(matches!(parse(&[]), Ok(Asked::Run(None))));
        assert!(matches!(parse(&["--svg", "x.svg"]), Ok(Asked::Run(Some(_)))));
        assert!(matches!(parse(&["-h"]), Ok(Asked::Help)));
        assert!(parse(&["--fast"]).is_err() && parse(&["x"]).is_err() && parse(&["--svg"]).is_err());
    }
}
