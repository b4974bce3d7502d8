//! The rules that are tried, and what the report says of them first.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use stockade_config::Value;
use stockade_filter::{Filter, FilterError, FilterSettings, UseDns};

use super::Stop;
use super::input;
use super::named::{self, Named};
use super::options::Options;

/// The rules, compiled.
#[derive(Debug)]
pub(super) struct Rules {
    /// As given, tags unexpanded: this is what is printed.
    pub(super) settings: FilterSettings,
    pub(super) filter: Filter,
    /// The words of `journalmatch`.
    pub(super) journalmatch: Vec<String>,
    /// The encoding of the log, if it was told.
    pub(super) encoding: Option<String>,
}

/// Reads and compiles the rules; tells in `heading` what is used, as far as it came.
pub(super) fn read(options: &Options, heading: &mut String) -> Result<Rules, Stop> {
    let zone = crate::zone::system();
    let mut settings = FilterSettings {
        maxlines: 1,
        logtimezone: options.timezone.clone(),
        ..FilterSettings::default()
    };
    settings.usedns = match (options.usedns.as_deref().map(usedns), options.raw) {
        (None | Some(UseDns::Yes | UseDns::Warn), true) => UseDns::Raw,
        (given, _) => given.unwrap_or_default(),
    };
    if options.maxlines < 0 {
        return Err(Stop::Refused("maxlines must be integer greater than zero".into()));
    }
    if options.maxlines > 0 {
        line(heading, "maxlines", &options.maxlines.to_string());
        settings.maxlines = u32::try_from(options.maxlines).unwrap_or(u32::MAX);
    }
    check(&settings, &zone)?;
    log_level(options)?;
    let mut encoding = None;
    let mut journalmatch = match &options.journalmatch {
        Some(text) => input::journal_words(text)?,
        None => Vec::new(),
    };
    if let Some(pattern) = &options.datepattern {
        settings.datepattern = Some(pattern.clone());
        say_datepattern(heading, &settings, &zone)?;
    }
    if let Some(found) = named::find(options, heading)? {
        let more = take(found, options, &mut settings, heading, &zone)?;
        if options.journalmatch.is_none() {
            journalmatch = more.journalmatch;
        }
        encoding = more.encoding;
    } else {
        line(heading, "failregex line", &options.regex);
        settings.failregex.push(options.regex.clone());
        check(&settings, &zone)?;
    }
    if let Some(regex) = &options.ignoreregex {
        line(heading, "ignoreregex line", regex);
        settings.ignoreregex.push(regex.clone());
    }
    let filter = check(&settings, &zone)?;
    Ok(Rules {
        settings,
        filter,
        journalmatch,
        encoding: options.encoding.clone().or(encoding),
    })
}

/// A line of the heading; the names stand flush right.
pub(super) fn line(heading: &mut String, name: &str, value: &str) {
    // Writing to a String cannot go wrong.
    let _ = writeln!(heading, "Use {name:>16} : {value}");
}

fn check(settings: &FilterSettings, zone: &TimeZone) -> Result<Filter, Stop> {
    Filter::new(settings, zone).map_err(|errors| refusal(&errors))
}

fn refusal(errors: &[FilterError]) -> Stop {
    let message = errors.first().map_or("", |error| error.message.as_str());
    // Fail2Ban puts the reason on a line of its own here.
    let broken = message
        .starts_with("Unable to compile")
        .then(|| message.rsplit_once("': "))
        .flatten();
    Stop::Refused(broken.map_or_else(|| message.to_owned(), |(what, why)| format!("{what}':\n{why}")))
}

/// Only looked at: what Fail2Ban logs while it tries rules is about its own workings.
fn log_level(options: &Options) -> Result<(), Stop> {
    const LEVELS: [&str; 10] = [
        "heavydebug",
        "tracedebug",
        "trace",
        "debug",
        "msg",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
    ];
    let Some(given) = &options.log_level else {
        return Ok(());
    };
    let word = given.to_lowercase();
    if LEVELS.contains(&word.as_str()) || word == "warn" || word.parse::<u8>().is_ok() {
        return Ok(());
    }
    Err(Stop::Refused(format!(
        "unknown log level `{given}`\n  why: levels are {} and numbers\n  mend: -l info",
        LEVELS.join(", ")
    )))
}

/// Any other word is a no: so it is with Fail2Ban.
fn usedns(word: &str) -> UseDns {
    match word.to_lowercase().as_str() {
        "yes" => UseDns::Yes,
        "warn" => UseDns::Warn,
        "raw" => UseDns::Raw,
        _ => UseDns::No,
    }
}

/// Prints `pattern : what it means`, as far as one template can say that.
fn say_datepattern(heading: &mut String, settings: &FilterSettings, zone: &TimeZone) -> Result<(), Stop> {
    let dates = FilterSettings {
        datepattern: settings.datepattern.clone(),
        logtimezone: settings.logtimezone.clone(),
        maxlines: 1,
        ..FilterSettings::default()
    };
    let filter = check(&dates, zone)?;
    let pattern = settings.datepattern.as_deref().unwrap_or("");
    // Of two the first is named, more go by a name of their own.
    let few = filter.date_templates().count() <= 2;
    let name = filter.date_templates().next().filter(|_| few);
    let name = name.unwrap_or("Default Detectors");
    line(heading, "datepattern", &format!("{pattern} : {name}"));
    Ok(())
}

/// What a filter or jail says about the log.
#[derive(Default)]
struct OfLog {
    /// The words of `journalmatch`.
    journalmatch: Vec<String>,
    encoding: Option<String>,
}

/// Takes over the settings of a filter or jail, except where the command line has its own.
fn take(
    found: Named,
    options: &Options,
    settings: &mut FilterSettings,
    heading: &mut String,
    zone: &TimeZone,
) -> Result<OfLog, Stop> {
    let mut of_log = OfLog::default();
    let journalmatch = &mut of_log.journalmatch;
    let jail = found.jail;
    for setting in found.settings {
        match (setting.option.as_ref(), setting.value) {
            ("maxlines", Value::Int(lines)) if options.maxlines == 0 => {
                line(heading, "maxlines", &lines.to_string());
                settings.maxlines = u32::try_from(lines).unwrap_or(1).max(1);
            }
            ("datepattern", Value::Text(pattern)) if options.datepattern.is_none() => {
                settings.datepattern = Some(pattern);
                say_datepattern(heading, settings, zone)?;
            }
            ("usedns", Value::Text(word)) if jail && options.usedns.is_none() && !options.raw => {
                settings.usedns = usedns(&word);
            }
            ("logtimezone", Value::Text(zone)) if jail && options.timezone.is_none() => {
                settings.logtimezone = Some(zone).filter(|zone| !zone.is_empty());
            }
            ("logencoding", Value::Text(name)) if jail => {
                of_log.encoding = Some(name).filter(|name| !name.eq_ignore_ascii_case("auto"));
            }
            ("prefregex", Value::Text(regex)) => settings.prefregex = Some(regex).filter(|regex| !regex.is_empty()),
            ("addfailregex", Value::Lines(lines)) => settings.failregex.extend(lines.into_iter().map(|line| line.text)),
            ("addignoreregex", Value::Lines(lines)) => {
                settings.ignoreregex.extend(lines.into_iter().map(|line| line.text));
            }
            ("addjournalmatch", Value::Words(words)) => {
                // Several are alternatives.
                if !journalmatch.is_empty() {
                    journalmatch.push("+".to_owned());
                }
                journalmatch.extend(words);
            }
            // The rest was given on the command line, or is nothing for trying rules.
            _ => {}
        }
    }
    Ok(of_log)
}
