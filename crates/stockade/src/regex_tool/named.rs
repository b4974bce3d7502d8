//! What REGEX names, if it is no failregex itself: a jail, a filter, or a filter file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stockade_config::options::Extended;
use stockade_config::{Setting, ToolFilter, Value, filter_settings, jail_rules, options as config_options};

use super::Stop;
use super::input;
use super::options::Options;
use super::python;
use super::rules::line;

const DEFAULT_DIRECTORY: &str = "/etc/fail2ban";

/// What REGEX names.
pub(super) struct Named {
    pub(super) settings: Vec<Setting>,
    /// It is a jail: then what concerns its log and names is meant too.
    pub(super) jail: bool,
}

/// The jail or filter that REGEX names; `None` if it is a failregex itself.
///
/// A path needs a `/` in it, and to be there; a name has none. Whatever looks like neither is a failregex. A jail goes before
/// a filter of its name, as with Fail2Ban after 1.0.2; `NAME.conf` and `filter.d/NAME` are filters in any case.
pub(super) fn find(options: &Options, heading: &mut String) -> Result<Option<Named>, Stop> {
    let given = options.regex.as_str();
    let name = given.split_once('[').map_or(given, |(name, _)| name);
    let in_name = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    if name.is_empty() || !name.chars().all(in_name) || (name != given && !given.ends_with(']')) {
        return Ok(None);
    }
    let named = config_options::parse(given).map_err(|error| {
        Stop::Refused(format!(
            "Wrong filter name or options: {error}\n       while parsing: {given}"
        ))
    })?;
    if let Some(jail) = jail(&named, options, heading)? {
        return Ok(Some(jail));
    }
    let Some(place) = place(&named.name, options.config.as_deref()) else {
        return Ok(None);
    };
    let base = Path::new(place.folder).join(&place.name);
    let read = filter_settings(
        &place.directory,
        &base,
        &named.options,
        input::is_journal(&options.log),
        &mut Vec::new(),
    );
    let Some(read) = read else {
        return Ok(None);
    };
    if place.folder.is_empty() {
        line(heading, "failregex file", &named.name);
    } else {
        let shown = format!("{}, basedir: {}", place.name, place.directory.display());
        line(heading, "  failregex filter file", &shown);
    }
    say_options(&named.options, heading);
    let filter = read.map_err(|error| Stop::Refused(format!("failed to load filter {}\n{error}", named.name)))?;
    if options.verbosity > 1 {
        let shown = real_options(&filter, &named.options);
        let shown = python::dictionary(shown.iter().map(|(name, value)| (name.as_str(), value.clone())));
        // Writing to a String cannot go wrong.
        let _ = writeln!(heading, "Real  filter options : {shown}");
    }
    Ok(Some(Named {
        settings: filter.settings,
        jail: false,
    }))
}

fn say_options(options: &[(String, String)], heading: &mut String) {
    if !options.is_empty() {
        let shown = options.iter().map(|(name, value)| (name.as_str(), python::text(value)));
        line(heading, "  filter options", &python::dictionary(shown));
    }
}

/// The jail of that name.
fn jail(named: &Extended, options: &Options, heading: &mut String) -> Result<Option<Named>, Stop> {
    if named.name.contains('/') || named.name.strip_suffix(".conf").is_some() {
        return Ok(None);
    }
    let directory = Path::new(options.config.as_deref().unwrap_or(DEFAULT_DIRECTORY));
    let journal = input::is_journal(&options.log);
    let Some(jail) = jail_rules(directory, &named.name, &named.options, journal) else {
        return Ok(None);
    };
    line(
        heading,
        "jail",
        &format!("{}, basedir: {}", jail.name, directory.display()),
    );
    if let Some(problem) = jail.problem {
        return Err(Stop::Refused(format!(
            "the jail `{}` cannot be used\n  why: {problem}\n  mend: {}.conf tries the filter of this name without the jail",
            jail.name, jail.name
        )));
    }
    line(heading, "filter", &jail.filter);
    say_options(&named.options, heading);
    Ok(Some(Named {
        settings: jail.settings,
        jail: true,
    }))
}

/// What the filter is made with, as Fail2Ban lists it.
fn real_options(filter: &ToolFilter, given: &[(String, String)]) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = vec![("logtype".to_owned(), python::text(&filter.logtype))];
    let mut add = |name: String, value: String| {
        if !out.iter().any(|(known, _)| *known == name) {
            out.push((name, value));
        }
    };
    for setting in &filter.settings {
        if let ("datepattern", Value::Text(pattern)) = (setting.option.as_ref(), &setting.value) {
            add("datepattern".to_owned(), python::text(pattern));
        }
    }
    for (name, value) in given {
        add(name.clone(), python::text(value));
    }
    for (name, value) in &filter.init {
        add(format!("known/{name}"), python::text(value));
        let is_number = name == "maxlines" && value.parse::<i64>().is_ok();
        add(
            name.clone(),
            if is_number { value.clone() } else { python::text(value) },
        );
    }
    out
}

/// Where a filter stands.
struct Place {
    directory: PathBuf,
    /// `filter.d`, or nothing for a file anywhere else.
    folder: &'static str,
    /// Without `.conf`.
    name: String,
}

fn place(name: &str, config: Option<&str>) -> Option<Place> {
    let plain = |name: &str| name.strip_suffix(".conf").unwrap_or(name).to_owned();
    if !name.contains('/') {
        return Some(Place {
            directory: PathBuf::from(config.unwrap_or(DEFAULT_DIRECTORY)),
            folder: "filter.d",
            name: plain(name),
        });
    }
    if let Some(name) = name.strip_prefix("filter.d/").filter(|name| !name.contains('/')) {
        return place(&format!("{}.conf", plain(name)), config);
    }
    let path = Path::new(name);
    if !path.is_file() {
        return None;
    }
    let file = plain(path.file_name()?.to_str()?);
    let parent = path.parent()?;
    Some(if parent.file_name().is_some_and(|name| name == "filter.d") {
        Place {
            directory: parent.parent()?.to_owned(),
            folder: "filter.d",
            name: file,
        }
    } else {
        Place {
            directory: parent.to_owned(),
            folder: "",
            name: file,
        }
    })
}
