//! An action file as a jail uses it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::definition::{Definition, DefinitionError, Kind, References};
use crate::diagnostic::{Diagnostic, Place};
use crate::jail_tags::JailTags;
use crate::merge::{Merged, Tree};
use crate::options::Extended;
use crate::setting::{Value, truth};

/// The options of `[Definition]` that the server hears of, in Fail2Ban's order.
pub(crate) const OPTIONS: &[&str] = &[
    "actionstart",
    "actionstart_on_demand",
    "actionstop",
    "actionflush",
    "actionreload",
    "actioncheck",
    "actionrepair",
    "actionrepair_on_unban",
    "actionban",
    "actionprolong",
    "actionreban",
    "actionunban",
    "norestored",
];

/// Those of them that are yes or no.
pub(crate) const FLAGS: &[&str] = &["actionstart_on_demand", "actionrepair_on_unban", "norestored"];

/// Whether an option of an action is a command.
pub fn is_command(name: &str) -> bool {
    OPTIONS.contains(&name) && !FLAGS.contains(&name)
}

/// Tags that mean something else when somebody is banned, even if an option has the name.
const RESERVED: &[&str] = &["matches", "ipmatches", "ipjailmatches", "timeout", "bantime"];

/// The option that names those options whose values are not to stand in a command, for they are nobody else's business.
const SECRETS: &str = "secrets";

const KIND: Kind = Kind {
    options: OPTIONS,
    reserved: RESERVED,
    references: References::Passed,
};

/// One action of a jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionConfig {
    /// Its name in the jail: the file's, or with a suffix that keeps several apart.
    pub name: String,
    /// The name of its file in `action.d`, without what follows the last dot.
    pub base: String,
    /// The files it was read from, in order.
    pub files: Vec<Arc<str>>,
    /// Where the jail asks for it.
    pub place: Place,
    /// What it is.
    pub kind: ActionKind,
}

/// What an action is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// Commands and other properties, in the order in which the server is told them.
    Properties(Vec<ActionProperty>),
    /// A Python file of Fail2Ban's; the server says what it can do about it.
    Python {
        /// The file.
        path: PathBuf,
        /// The options passed to it, in order.
        options: Vec<(String, String)>,
    },
}

/// One property of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionProperty {
    /// `actionban`, `port`, `blocktype?family=inet6`, …
    pub name: String,
    /// Text, or yes or no.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
}

/// Why an action cannot be had.
pub(crate) enum ActionFault {
    /// No such file.
    Missing,
    /// Its options cannot be made out.
    Bad(Box<Diagnostic>),
}

/// How a jail uses an action.
pub(crate) struct ActionUse<'a> {
    pub(crate) jail: &'a str,
    pub(crate) used: &'a Extended,
    pub(crate) place: &'a Place,
    /// The jail's own options: tags and references find them where nothing is passed and [Init] has none.
    pub(crate) options: &'a JailTags<'a>,
}

/// Reads the action that a jail asks for.
pub(crate) fn read(
    tree: &Tree,
    presets: &[(&str, &str)],
    action_use: &ActionUse<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Result<ActionConfig, ActionFault> {
    let &ActionUse { jail, used, place, .. } = action_use;
    if let Some(name) = used.name.strip_suffix(".py") {
        let path = tree
            .find(&Path::new("action.d").join(&used.name))
            .ok_or(ActionFault::Missing)?;
        let files = vec![path.to_string_lossy().into()];
        let named = used
            .options
            .iter()
            .find(|(option, _)| option == "actname")
            .map_or(name, |(_, value)| value);
        let options = used
            .options
            .iter()
            .filter(|(option, _)| option != "actname")
            .cloned()
            .collect();
        let kind = ActionKind::Python { path, options };
        return Ok(ActionConfig {
            name: named.to_owned(),
            base: name.to_owned(),
            files,
            place: place.clone(),
            kind,
        });
    }
    let merged = tree
        .read(Path::new("action.d").join(&used.name), presets, findings)
        .ok_or(ActionFault::Missing)?;
    let mut passed = used.options.clone();
    let value = |name: &str| {
        used.options
            .iter()
            .find(|(option, _)| option == name)
            .map(|(_, value)| value.clone())
    };
    let (name, actname) = (value("name"), value("actname"));
    let actname = actname.unwrap_or_else(|| {
        let own = used.name.clone();
        match name.as_deref() {
            None => own,
            Some(name) if name == jail => own,
            // `name=nsd-tcp` in [nsd] makes `nftables-tcp`; any other name is put behind a dash.
            Some(name) => match name.strip_prefix(jail) {
                Some(rest) => own + rest,
                None => format!("{own}-{name}"),
            },
        }
    });
    let own_actname = value("actname").is_none();
    if name.is_none() {
        passed.push(("name".to_owned(), jail.to_owned()));
    }
    if own_actname {
        passed.push(("actname".to_owned(), actname.clone()));
    }
    let properties = properties(&merged, &passed, action_use, findings)
        .map_err(|error| ActionFault::Bad(Box::new(error.diagnostic(place.clone()))))?;
    Ok(ActionConfig {
        name: actname,
        base: used.name.clone(),
        files: merged.files.clone(),
        place: place.clone(),
        kind: ActionKind::Properties(properties),
    })
}

fn properties(
    merged: &Merged,
    passed: &[(String, String)],
    action_use: &ActionUse<'_>,
    findings: &mut Vec<Diagnostic>,
) -> Result<Vec<ActionProperty>, DefinitionError> {
    let place = action_use.place;
    let mut definition = Definition::combine(merged, &KIND, passed, place, Some(action_use.options))?;
    let secrets = definition.properties().find(|property| property.name == SECRETS);
    let secrets = secrets.map(|property| property.value.clone()).unwrap_or_default();
    definition.leave_for_later(secrets.split([',', ' ', '\n']).map(ToOwned::to_owned));
    let unused = definition.faults.iter().cloned();
    findings.extend(unused.map(|fault| fault.diagnostic(place.clone())));
    let mut properties = Vec::new();
    let commands = |name: &str| OPTIONS.contains(&name);
    for property in definition.properties().filter(|property| commands(&property.name)) {
        let text = definition.substitute(&property.name, &property.place, &property.value)?;
        let value = if FLAGS.contains(&property.name.as_str()) {
            Value::Bool(truth(&text))
        } else {
            Value::Text(text)
        };
        properties.push(ActionProperty {
            name: property.name.clone(),
            value,
            place: property.place.clone(),
        });
    }
    // Tags in these are left for the time of the ban, as Fail2Ban does: commands have them replaced already. An action
    // of our own has no commands; it is told the values themselves, or it would see `<known/chain>`.
    let native = definition.properties().any(|property| property.name == "native");
    for property in definition.properties().filter(|property| !commands(&property.name)) {
        let replaced = definition.substitute(&property.name, &property.place, &property.value);
        let value = if native {
            replaced?
        } else {
            // Nothing may come of it, but Fail2Ban refuses all of the configuration for a tag in a circle.
            findings.extend(replaced.err().map(|error| error.diagnostic(property.place.clone())));
            property.value.clone()
        };
        properties.push(ActionProperty {
            name: property.name.clone(),
            value: Value::Text(value),
            place: property.place.clone(),
        });
    }
    Ok(properties)
}
