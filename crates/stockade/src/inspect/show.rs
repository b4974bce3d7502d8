//! `stockade config show`.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use stockade_config::{Overrides, Part, Place, Shown, ShownOption};

use super::ERRORS;
use crate::screen::{Screen, Style, shown};
use crate::terminal::{complain, say};

/// Column at which places stand.
const PLACES: usize = 60;
/// Longest value that is shown in a line.
const VALUE_CHARS: usize = 400;

/// The names of all jails.
pub(super) fn jails(folder: &Path, json: bool) -> ExitCode {
    let config = stockade_config::load(folder, &Overrides::default());
    if json {
        let enabled: Vec<&str> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
        say(&format!(
            "{:#}",
            json!({"enabled": enabled, "disabled": config.disabled})
        ));
        return ExitCode::SUCCESS;
    }
    let mut screen = Screen::new();
    for jail in &config.jails {
        let (style, state) = match jail.problem {
            None => (Style::Good, "enabled"),
            Some(_) => (Style::Bad, "enabled, cannot run: stockade check"),
        };
        screen.line(&[(Style::Name, &format!("{:<24}", shown(&jail.name, 60))), (style, state)]);
    }
    if !config.disabled.is_empty() {
        let names: Vec<String> = config.disabled.iter().map(|name| shown(name, 60)).collect();
        screen.line(&[(Style::Dim, &format!("not enabled: {}", names.join(", ")))]);
    }
    ExitCode::SUCCESS
}

/// One jail, value by value.
pub(super) fn jail(folder: &Path, name: &str, json: bool) -> ExitCode {
    let Some(shown) = stockade_config::show(folder, &Overrides::default(), name) else {
        let config = stockade_config::load(folder, &Overrides::default());
        let mut names: Vec<&str> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
        names.extend(config.disabled.iter().map(String::as_str));
        complain(&format!(
            "stockade: no jail `{}` in {}\n  mend: {}",
            name.escape_debug(),
            folder.display(),
            match stockade_config::nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`stockade config show` lists them".to_owned(),
            }
        ));
        return ExitCode::from(ERRORS);
    };
    if json {
        say(&format!("{:#}", document(&shown)));
    } else {
        text(&shown);
    }
    if shown.jail.problem.is_some() {
        ExitCode::from(ERRORS)
    } else {
        ExitCode::SUCCESS
    }
}

fn text(jail: &Shown) {
    let mut screen = Screen::new();
    let state = match (&jail.jail.problem, jail.enabled) {
        (Some(problem), _) => (Style::Bad, format!("cannot run: {}", shown(problem, VALUE_CHARS))),
        (None, true) => (Style::Good, "enabled".to_owned()),
        (None, false) => (Style::Dim, "not enabled".to_owned()),
    };
    screen.line(&[
        (Style::Title, &format!("[{}]", shown(&jail.jail.name, 60))),
        (Style::Plain, "  "),
        (state.0, &state.1),
    ]);
    part(&mut screen, &jail.own);
    if let Some(filter) = &jail.filter {
        screen.title(&format!("filter {}", shown(&filter.name, 60)));
        part(&mut screen, filter);
    }
    for action in &jail.actions {
        screen.title(&format!("action {}", shown(&action.name, 60)));
        part(&mut screen, action);
    }
}

fn part(screen: &mut Screen, part: &Part) {
    let files: Vec<String> = part.files.iter().map(|file| shown(file, 200)).collect();
    screen.line(&[(Style::Dim, &format!("  read: {}", files.join(", ")))]);
    for option in &part.options {
        one(screen, option);
    }
}

fn one(screen: &mut Screen, option: &ShownOption) {
    let name = shown(&option.name, 60);
    let place = stands(&option.place);
    let note = if option.used { "" } else { "  (nothing uses it)" };
    let mut value = option.value.split('\n');
    let first = shown(value.next().unwrap_or_default(), VALUE_CHARS);
    let gap = " ".repeat(
        PLACES
            .saturating_sub(name.chars().count() + first.chars().count() + 5)
            .max(2),
    );
    let is_list = !option.rules.is_empty();
    if is_list {
        let gap = " ".repeat(PLACES.saturating_sub(name.chars().count() + 4).max(2));
        screen.line(&[
            (Style::Name, &format!("  {name} =")),
            (Style::Dim, &format!("{gap}{place}")),
        ]);
        for rule in &option.rules {
            let elsewhere = rule.place.file != option.place.file;
            let of_line = if elsewhere {
                stands(&rule.place)
            } else {
                rule.place.line.to_string()
            };
            screen.line(&[
                (Style::Dim, &format!("      {} ", shown(&of_line, 200))),
                (Style::Plain, &shown(&rule.text, 2000)),
            ]);
        }
    } else {
        screen.line(&[
            (Style::Name, &format!("  {name}")),
            (Style::Plain, &format!(" = {first}")),
            (Style::Dim, &format!("{gap}{place}{note}")),
        ]);
        for more in value {
            screen.line(&[(Style::Plain, &format!("      {}", shown(more, VALUE_CHARS)))]);
        }
        if let Some(written) = &option.written {
            let written = written.replace('\n', " ⏎ ");
            screen.line(&[(Style::Dim, &format!("      written: {}", shown(&written, VALUE_CHARS)))]);
        }
    }
    for earlier in &option.overrode {
        let written = earlier.written.replace('\n', " ⏎ ");
        let place = stands(&earlier.place);
        screen.line(&[(
            Style::Dim,
            &format!("      instead of: {}  {place}", shown(&written, 100)),
        )]);
    }
}

/// `file:line in [section]`; columns would only be noise here.
fn stands(place: &Place) -> String {
    shown(
        &Place {
            column: 0,
            ..place.clone()
        }
        .to_string(),
        200,
    )
}

fn document(jail: &Shown) -> Value {
    json!({
        "jail": jail.jail.name,
        "enabled": jail.enabled,
        "problem": jail.jail.problem,
        "own": of_part(&jail.own),
        "filter": jail.filter.as_ref().map(of_part),
        "actions": jail.actions.iter().map(of_part).collect::<Vec<_>>(),
    })
}

fn of_part(part: &Part) -> Value {
    let options = part.options.iter().map(|option| {
        let rules = option.rules.iter().map(|rule| json!({"rule": rule.text, "file": &*rule.place.file, "line": rule.place.line}));
        let overrode = option.overrode.iter().map(|earlier| {
            json!({"written": earlier.written, "file": &*earlier.place.file, "line": earlier.place.line, "section": &*earlier.place.section})
        });
        json!({
            "name": option.name,
            "value": option.value,
            "written": option.written.as_ref().unwrap_or(&option.value),
            "rules": rules.collect::<Vec<_>>(),
            "file": &*option.place.file,
            "line": option.place.line,
            "section": &*option.place.section,
            "used": option.used,
            "overrode": overrode.collect::<Vec<_>>(),
        })
    });
    json!({
        "name": part.name,
        "files": part.files.iter().map(|file| &**file).collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
    })
}
