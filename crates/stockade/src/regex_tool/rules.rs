//! Which rules are tried: a literal failregex, a filter by name, or a filter file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use stockade_config::{Setting, Value, filter_settings, options as config_options};
use stockade_filter::{Filter, FilterError, FilterSettings, UseDns};

use super::Stop;
use super::options::Options;

const DEFAULT_DIRECTORY: &str = "/etc/fail2ban";

/// The rules, compiled.
#[derive(Debug)]
pub(super) struct Rules {
    /// As given, tags unexpanded: this is what is printed.
    pub(super) settings: FilterSettings,
    pub(super) filter: Filter,
    /// Dates and prefregex alone, for counting on lines that no failregex can match.
    pub(super) frame: Filter,
}

/// Reads and compiles the rules; tells in `heading` what is used, as far as it came.
pub(super) fn read(options: &Options, heading: &mut String) -> Result<Rules, Stop> {
    let zone = TimeZone::system();
    let mut settings = FilterSettings {
        maxlines: 1,
        logtimezone: options.timezone.clone(),
        ..FilterSettings::default()
    };
    check(&settings, &zone)?;
    if let Some(word) = &options.usedns {
        settings.usedns = usedns(word)?;
    }
    if let Some(maxlines) = options.maxlines.filter(|lines| *lines > 0) {
        line(heading, "maxlines", &maxlines.to_string());
        settings.maxlines = maxlines;
    }
    if let Some(pattern) = &options.datepattern {
        settings.datepattern = Some(pattern.clone());
        say_datepattern(heading, &settings, &zone)?;
    }
    if let Some(found) = find(options)? {
        heading.push_str(&found.heading);
        take(found.settings, options, &mut settings, heading, &zone)?;
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
    let frame = FilterSettings {
        failregex: Vec::new(),
        ignoreregex: Vec::new(),
        ..settings.clone()
    };
    let frame = check(&frame, &zone)?;
    Ok(Rules {
        settings,
        filter,
        frame,
    })
}

/// A line of the heading; the names stand flush right.
fn line(heading: &mut String, name: &str, value: &str) {
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

fn usedns(word: &str) -> Result<UseDns, Stop> {
    match word.to_lowercase().as_str() {
        "yes" => Ok(UseDns::Yes),
        "warn" => Ok(UseDns::Warn),
        "no" => Ok(UseDns::No),
        "raw" => Ok(UseDns::Raw),
        _ => Err(Stop::Refused(format!(
            "`usedns` must be yes, warn, no or raw, not `{word}`\n  why: it says what to do with names in the place of addresses\n  mend: \
             --usedns=warn"
        ))),
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
    let mut names = filter.date_templates();
    let name = match (names.next(), names.next()) {
        (Some(only), None) => only,
        _ => "Default Detectors",
    };
    line(
        heading,
        "datepattern",
        &format!("{} : {name}", settings.datepattern.as_deref().unwrap_or("")),
    );
    Ok(())
}

/// A filter that was found.
struct Found {
    heading: String,
    settings: Vec<Setting>,
}

/// The filter that REGEX names; `None` if it is a failregex itself.
fn find(options: &Options) -> Result<Option<Found>, Stop> {
    let Ok(named) = config_options::parse(options.regex.trim()) else {
        return Ok(None);
    };
    let path = Path::new(&named.name);
    let mut heading = String::new();
    let (directory, base) = if named.name.contains('/') && path.is_file() {
        let base = path.with_extension("");
        let parent = path.parent().unwrap_or(Path::new("."));
        if parent.file_name().is_some_and(|name| name == "filter.d") {
            let directory = parent.parent().unwrap_or(Path::new("/")).to_owned();
            let name = base.file_name().unwrap_or_default().to_owned();
            line(
                &mut heading,
                "  failregex filter file",
                &format!("{}, basedir: {}", name.display(), directory.display()),
            );
            (directory, Path::new("filter.d").join(name))
        } else {
            line(&mut heading, "failregex file", &named.name);
            (parent.to_owned(), PathBuf::from(base.file_name().unwrap_or_default()))
        }
    } else {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !named.name.bytes().all(plain) {
            return Ok(None);
        }
        let directory = options.config.as_deref().unwrap_or(DEFAULT_DIRECTORY);
        let name = named.name.strip_suffix(".conf").unwrap_or(&named.name);
        line(
            &mut heading,
            "  failregex filter file",
            &format!("{name}, basedir: {directory}"),
        );
        (PathBuf::from(directory), Path::new("filter.d").join(name))
    };
    if !named.options.is_empty() {
        let shown: Vec<_> = named
            .options
            .iter()
            .map(|(name, value)| format!("{}: {}", python(name), python(value)))
            .collect();
        line(&mut heading, "filter options", &format!("{{{}}}", shown.join(", ")));
    }
    match filter_settings(&directory, &base, &named.options, &mut Vec::new()) {
        None => Ok(None),
        Some(Ok(settings)) => Ok(Some(Found { heading, settings })),
        Some(Err(error)) => Err(Stop::Refused(format!("failed to load filter {}\n{error}", named.name))),
    }
}

/// Takes over a filter's settings, except where the command line has its own.
fn take(
    found: Vec<Setting>,
    options: &Options,
    settings: &mut FilterSettings,
    heading: &mut String,
    zone: &TimeZone,
) -> Result<(), Stop> {
    for setting in found {
        match (setting.option.as_ref(), setting.value) {
            ("maxlines", Value::Int(lines)) if options.maxlines.is_none() => {
                line(heading, "maxlines", &lines.to_string());
                settings.maxlines = u32::try_from(lines).unwrap_or(1).max(1);
            }
            ("datepattern", Value::Text(pattern)) if options.datepattern.is_none() => {
                settings.datepattern = Some(pattern);
                say_datepattern(heading, settings, zone)?;
            }
            ("usedns", Value::Text(word)) if options.usedns.is_none() => settings.usedns = usedns(&word)?,
            ("prefregex", Value::Text(regex)) => settings.prefregex = Some(regex).filter(|regex| !regex.is_empty()),
            ("addfailregex", Value::Lines(lines)) => settings.failregex.extend(lines.into_iter().map(|line| line.text)),
            ("addignoreregex", Value::Lines(lines)) => {
                settings.ignoreregex.extend(lines.into_iter().map(|line| line.text));
            }
            // `journalmatch` concerns journals; the rest was given on the command line.
            _ => {}
        }
    }
    Ok(())
}

/// A text as Python's `repr` writes it.
pub(super) fn python(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter == quote => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push(quote);
    out
}
