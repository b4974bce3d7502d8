//! One line, jail by jail.

use stockade_config::Place;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Examination, Filter, FilterSettings, Match, Memory, Verdict, Who};

use super::{Asked, SHOWN_CHARS, local, now, span, who};
use crate::screen::{Screen, Style, shown};

/// Dates further from now than this count as now while a log is followed.
const BELIEVED_SECONDS: i64 = 60;

/// Explains a line; true if a jail finds a failure. `named`: whether the jails were asked for by name.
pub(super) fn explain(jails: &[Asked], bytes: &[u8], named: bool) -> bool {
    let line = bytes.trim_ascii_end();
    let mut screen = Screen::new();
    let mut found = false;
    let mut misses = Vec::new();
    for jail in jails {
        let clock = Clock {
            now: now(),
            in_operation: true,
            findtime: jail.setup.settings.findtime.0,
        };
        let seen = jail.filter.examine(line, clock, &mut Memory::default(), false);
        found |= matches!(seen.verdict, Verdict::Match(_));
        // Of many jails most have nothing to do with the line; those are told together.
        if seen.hits.is_empty() && !named {
            misses.push(jail);
            continue;
        }
        one(&mut screen, jail, line, clock, &seen);
        screen.blank();
    }
    if !misses.is_empty() {
        elsewhere(&mut screen, &misses, line);
    }
    found
}

/// The jails in which no rule matches, and the rule that came nearest.
fn elsewhere(screen: &mut Screen, jails: &[&Asked], line: &[u8]) {
    let names: Vec<String> = jails.iter().map(|jail| shown(&jail.config.name, 60)).collect();
    screen.line(&[(Style::Title, "no rule matches in "), (Style::Name, &names.join(", "))]);
    let clock = Clock {
        now: now(),
        in_operation: true,
        findtime: 0,
    };
    let near = jails
        .iter()
        .filter_map(|jail| Some((jail, jail.filter.nearest(jail.settings(), line, clock)?)));
    // A rule that got past the prefregex is nearer than one that did not.
    let nearest = near.max_by_key(|(_, near)| (near.option == "failregex", near.passed));
    match nearest {
        Some((jail, near)) if !near.matched.is_empty() => {
            screen.line(&[(Style::Dim, "  the nearest is of "), (Style::Name, &jail.config.name)]);
            nearly(screen, jail, line, clock);
        }
        _ => screen.line(&[(Style::Dim, "  and none gets beyond its beginning")]),
    }
}

fn fact(screen: &mut Screen, word: &str, text: &str) {
    screen.line(&[(Style::Dim, &format!("  {word:<9} ")), (Style::Plain, text)]);
}

fn one(screen: &mut Screen, jail: &Asked, line: &[u8], clock: Clock, seen: &Examination) {
    screen.line(&[(Style::Title, &shown(&jail.config.name, 60))]);
    date(screen, line, clock, seen);
    if let Some(content) = jail.filter.content_of(line, clock) {
        fact(screen, "rules see", &shown(&content, SHOWN_CHARS));
    }
    let Some(&hit) = seen.hits.first() else {
        if let Some(&entry) = seen.ignored_by.first() {
            let place = crate::check::place_of_rule(&jail.config, "ignoreregex", entry);
            fact(screen, "ignored", &format!("by ignoreregex {} at {place}", entry + 1));
        } else {
            nearly(screen, jail, line, clock);
        }
        return;
    };
    let rules = &jail.settings().failregex;
    let place = crate::check::place_of_rule(&jail.config, "failregex", hit);
    fact(
        screen,
        "rule",
        &format!("failregex {} of {}, {place}", hit + 1, rules.len()),
    );
    if let Some(rule) = rules.get(hit) {
        fact(screen, "", &shown(rule, SHOWN_CHARS));
    }
    match &seen.verdict {
        Verdict::Match(found) => {
            screen.line(&[(Style::Dim, "  found     "), (Style::Bad, &who(&found.who))]);
            fields(screen, found);
            counted(screen, jail, found);
        }
        Verdict::Ignored if seen.ignored_by.is_empty() => {
            fact(
                screen,
                "counts",
                "not by itself: the rule belongs to a session (<F-MLFID>), and the line only adds to what is known of it",
            );
        }
        Verdict::Ignored => {
            let entries: Vec<String> = seen.ignored_by.iter().map(|entry| (entry + 1).to_string()).collect();
            fact(screen, "ignored", &format!("by ignoreregex {}", entries.join(", ")));
        }
        Verdict::Unusable(why) => fact(screen, "counts", &format!("not: {why}")),
        Verdict::Overrun(_) => fact(screen, "counts", "not: the rule used up its steps on this line"),
        Verdict::Miss | Verdict::TooOld | Verdict::Undated => fact(screen, "counts", "not"),
    }
}

/// How the date is read.
fn date(screen: &mut Screen, line: &[u8], clock: Clock, seen: &Examination) {
    let Some(date) = &seen.date else {
        fact(
            screen,
            "date",
            "none is found: while the log is followed the line counts as happening now, while catching up after a start not at all",
        );
        return;
    };
    let text = line
        .get(date.range.clone())
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    let text = shown(&text, 100);
    let by = shown(&date.name, 200);
    match date.time {
        None => fact(screen, "date", &format!("`{text}` looks like {by} and is no date")),
        Some(time) => {
            fact(screen, "date", &format!("{}, from `{text}` as {by}", local(time)));
            let away = seconds_between(time, clock.now);
            if away.abs() > BELIEVED_SECONDS {
                let far = if away > 0 {
                    format!("{} in the future", span(away))
                } else {
                    format!("{} ago", span(-away))
                };
                fact(
                    screen,
                    "",
                    &format!("that is {far}: read while it is written, it would count as happening now"),
                );
            }
        }
    }
}

fn seconds_between(time: Timestamp, now: Timestamp) -> i64 {
    (time.micros() - now.micros()) / 1_000_000
}

/// What the rule captured.
fn fields(screen: &mut Screen, found: &Match) {
    let captured: Vec<String> = found
        .fields
        .iter()
        .filter(|(name, value)| !value.is_empty() && !matches!(*name, "ip4" | "ip6" | "fid" | "dns" | "content"))
        .map(|(name, value)| format!("{name} `{}`", shown(value, 200)))
        .collect();
    if !captured.is_empty() {
        fact(screen, "", &captured.join(", "));
    }
}

/// How the failure counts.
fn counted(screen: &mut Screen, jail: &Asked, found: &Match) {
    let settings = &jail.setup.settings;
    if let Who::Name(_) = &found.who {
        let how = "the server looks the name up, and counts a failure of each of its addresses";
        fact(screen, "counts", how);
        return;
    }
    let Who::Id(id) = &found.who else { return };
    if let Some(why) = jail.ignored(id) {
        screen.line(&[(Style::Dim, "  counts    "), (Style::Good, &format!("not: {why}"))]);
        return;
    }
    if let Some(command) = jail
        .setup
        .ignorecommand
        .as_deref()
        .filter(|command| !command.is_empty())
    {
        fact(
            screen,
            "counts",
            &format!("unless ignorecommand says it is to be ignored: {}", shown(command, 200)),
        );
    }
    let actions: Vec<&str> = jail.config.actions.iter().map(|action| action.name.as_str()).collect();
    let bantime = if settings.bantime.0 < 0 {
        "for ever".to_owned()
    } else {
        format!("for {}", span(settings.bantime.0))
    };
    let by = if actions.is_empty() {
        "no action".to_owned()
    } else {
        actions.join(", ")
    };
    let retries = settings.maxretry.max(1);
    fact(
        screen,
        "counts",
        &format!(
            "1 of {retries} within {}; then a ban {bantime}, by {}",
            span(settings.findtime.0),
            shown(&by, 200)
        ),
    );
}

/// The rule of the jail that got furthest, and where it stopped.
fn nearly(screen: &mut Screen, jail: &Asked, line: &[u8], clock: Clock) {
    let place = |option: &str, index| crate::check::place_of_rule(&jail.config, option, index);
    nearest(screen, &jail.filter, jail.settings(), &place, line, clock);
}

/// The rule that got furthest, where it stands and where it stopped; `settings` are those the filter was made of.
pub(crate) fn nearest(
    screen: &mut Screen,
    filter: &Filter,
    settings: &FilterSettings,
    place: &dyn Fn(&str, usize) -> Place,
    line: &[u8],
    clock: Clock,
) {
    let Some(near) = filter.nearest(settings, line, clock) else {
        fact(screen, "rule", "there is none that can be asked");
        return;
    };
    let place = place(near.option, near.index);
    let rules = settings.failregex.len();
    let of = if near.option == "failregex" {
        format!("{} {} of {rules}", near.option, near.index + 1)
    } else {
        near.option.to_owned()
    };
    fact(screen, "nearest", &format!("{of}, {place}"));
    let given = match near.option {
        "failregex" => settings.failregex.get(near.index).map(String::as_str),
        _ => settings.prefregex.as_deref(),
    };
    let given = given.unwrap_or_default();
    let split = |text: &str, at: usize| -> (String, String) {
        (text.chars().take(at).collect(), text.chars().skip(at).collect())
    };
    let (passed, rest) = split(given, near.at.unwrap_or(0));
    screen.line(&[
        (Style::Dim, "            "),
        (Style::Good, &shown(&passed, SHOWN_CHARS)),
        (Style::Bad, &shown(&rest, SHOWN_CHARS)),
    ]);
    let before = near.text.get(..near.matched.end).unwrap_or_default();
    let after = near
        .text
        .get(near.matched.end..)
        .unwrap_or_default()
        .trim_end_matches('\n');
    screen.line(&[
        (Style::Dim, "  matched   "),
        (Style::Good, &shown(before, SHOWN_CHARS)),
        (Style::Bad, if after.is_empty() { "" } else { "▸" }),
        (Style::Plain, &shown(after, SHOWN_CHARS)),
    ]);
    let wanted = shown(&near.wanted, 60);
    let stopped = if after.is_empty() {
        format!("at the end of the line, without finding `{wanted}`")
    } else {
        let stands: String = after.chars().take(20).collect();
        format!("wanted `{wanted}`, where the line has `{}`", shown(&stands, 40))
    };
    fact(screen, "stopped", &stopped);
}
