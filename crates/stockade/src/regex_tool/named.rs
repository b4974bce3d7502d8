//! What REGEX names, if it is no failregex itself: a filter, or a filter file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use stockade_config::{Setting, ToolFilter, Value, filter_settings, options as config_options};

use super::Stop;
use super::input;
use super::options::Options;
use super::python;
use super::rules::line;

const DEFAULT_DIRECTORY: &str = "/etc/fail2ban";

/// The settings of the filter that REGEX names; `None` if it is a failregex itself.
///
/// A path needs a `/` in it, and to be there; a name has none. Whatever looks like neither is a failregex.
pub(super) fn find(options: &Options, heading: &mut String) -> Result<Option<Vec<Setting>>, Stop> {
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
    if !named.options.is_empty() {
        let shown: Vec<_> = named
            .options
            .iter()
            .map(|(name, value)| format!("{}: {}", python::text(name), python::text(value)))
            .collect();
        line(heading, "  filter options", &format!("{{{}}}", shown.join(", ")));
    }
    let filter = read.map_err(|error| Stop::Refused(format!("failed to load filter {}\n{error}", named.name)))?;
    if options.verbosity > 1 {
        let shown = real_options(&filter, &named.options);
        let shown = python::dictionary(shown.iter().map(|(name, value)| (name.as_str(), value.clone())));
        // Writing to a String cannot go wrong.
        let _ = writeln!(heading, "Real  filter options : {shown}");
    }
    Ok(Some(filter.settings))
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
