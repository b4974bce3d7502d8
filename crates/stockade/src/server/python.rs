//! Actions in Python files: the one that Fail2Ban ships, `smtp.py`, is known by its name and done natively; others are refused.

use std::path::Path;

use serde_json::{Map, Value as Json};

/// The options of `smtp.py` as a configuration passes them, and the properties they become. Seen on 1.0.2.
const OPTIONS: &[(&str, &str)] = &[
    ("host", "host"),
    ("ssl", "ssl"),
    ("user", "user"),
    ("password", "password"),
    ("sendername", "fromname"),
    ("sender", "fromaddr"),
    ("dest", "toaddr"),
    ("matches", "matches"),
];

/// What is set where the configuration says nothing; `None` is Python's.
pub(crate) const DEFAULTS: &[(&str, Option<&str>)] = &[
    ("fromaddr", Some("fail2ban")),
    ("fromname", Some("Fail2Ban")),
    ("host", Some("localhost")),
    ("matches", None),
    ("norestored", Some("1")),
    ("password", None),
    ("ssl", Some("False")),
    ("toaddr", Some("root")),
    ("user", None),
];

/// What can be called by `set JAIL action NAME METHOD`, as `get JAIL actionmethods NAME` lists it.
pub(crate) const METHODS: &[&str] = &["ban", "reban", "start", "stop", "unban"];

/// The arguments of a Python action as the client sends them: a JSON object. Fails if it is none.
pub(crate) fn arguments(json: &str) -> Result<Vec<(String, String)>, String> {
    let all: Map<String, Json> = serde_json::from_str(json)
        .map_err(|error| format!("the arguments of the action are no JSON object: {error}"))?;
    Ok(all
        .into_iter()
        .filter_map(|(name, value)| match value {
            Json::Null => None,
            Json::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        })
        .collect())
}

/// The properties of a native action that does what a Python file does. Fails if the file is not `smtp.py`, or has no such option.
pub(crate) fn properties(
    action: &str,
    file: &str,
    options: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    if Path::new(file).file_name().is_none_or(|name| name != "smtp.py") {
        return Err(format!(
            "action `{action}` is a Python file ({file}), which Stockade does not run; mend: use an action.d/*.conf instead, for mail \
             smtp.py, which is done natively, or sendmail-whois"
        ));
    }
    let mut properties = vec![("native".to_owned(), "smtp".to_owned())];
    for (name, value) in options {
        let Some((_, property)) = OPTIONS.iter().find(|(option, _)| option == name) else {
            let known: Vec<&str> = OPTIONS.iter().map(|(option, _)| *option).collect();
            return Err(format!(
                "`{}` is no option of smtp.py (action `{action}`); mend: it has {}",
                name.escape_debug(),
                known.join(", ")
            ));
        };
        properties.push(((*property).to_owned(), value.clone()));
    }
    Ok(properties)
}
